import { monitorEventLoopDelay } from 'node:perf_hooks';
import { mock } from 'node:test';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { Refusal } from '#policy/error/refusal.ts';
import { DocumentValidators } from '#policy/validation/instantiate-validators.ts';
import { planMessages } from '#policy/validation/judge/message-plan.ts';
import { compileDescriptorSet } from '#policy/validation/protobuf/compile-descriptor-set.ts';
import { runtimeContent } from '#policy/validation/runtime-operation.ts';
import type { Exchange } from '#sidecar/exchange/exchange.ts';
import {
  BUFFERED_BODY_TIMEOUT_MS,
  heldBytes,
  MAX_BUFFERED_BYTES,
  releaseBytes,
  reserveBytes,
} from '#sidecar/exchange/hold-body.ts';
import { MessageGate } from '#sidecar/exchange/message-gate.ts';
import type { BodyConsumer, IncomingBody } from '#sidecar/http/message.ts';
import { SHOP_PROTO_WITHOUT_RULES, shopProto } from '../../support/shop-proto.ts';

/** Without rules: messages that have any are judged by another thread, as compressed and large ones are. */
const shop = await shopProto(SHOP_PROTO_WITHOUT_RULES);
const document = compileDescriptorSet(shop.set);
const units = new DocumentValidators(document.units);
const request = document.operations.find(({ template }) => template.endsWith('/Talk'))?.grpc?.request;
if (request === undefined) throw new Error('no method Talk');
const content = runtimeContent(request, units);
const MAX_BYTES = 1_000_000;

/** A source that a test writes to, and that stops when it is paused, as a connection does after what it has read. */
class Source implements IncomingBody {
  readonly isPresent = true;
  readonly declaredLength = undefined;
  isPaused = false;
  isCancelled = false;
  consumer: BodyConsumer | undefined;
  /** False: it goes on when it is paused, as what is under way does then. */
  readonly #heedsPause: boolean;
  #resumed: (() => void) | undefined;

  constructor(heedsPause = true) {
    this.#heedsPause = heedsPause;
  }

  start(consumer: BodyConsumer): void {
    this.consumer = consumer;
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
    this.#resumed?.();
  }

  cancel(): void {
    this.isCancelled = true;
    this.#resumed?.();
  }

  async write(chunk: Buffer): Promise<void> {
    if (this.#heedsPause && this.isPaused && !this.isCancelled)
      await new Promise<void>((resolve) => (this.#resumed = resolve));
    if (this.isCancelled) return;
    const lent = Buffer.from(chunk);
    this.consumer?.onChunk(lent);
    lent.fill(0xee); // good for the call only
  }
}

/** A gate whose messages go to `passed`. */
function open({ mode = 'Enforce', isStream = true, heedsPause = true, of = document } = {}) {
  const source = new Source(heedsPause);
  const found: string[] = [];
  const exchange = {
    policy: { defaults: { mode } },
    waitingFor: 'caller-body',
    wouldRefuse: undefined as unknown,
    givenUp: undefined as Refusal | undefined,
    waitFor(whom: string) {
      this.waitingFor = whom;
    },
    audit(finding: { code: string }) {
      found.push(finding.code);
      this.wouldRefuse = finding;
    },
    giveUp(refusal: Refusal) {
      this.givenUp = refusal;
    },
  };
  const plan = planMessages({
    ...{ document: of, content, isStream, isEnforced: true, headers: ['grpc-encoding', 'gzip'] },
    settings: { maxBodyBytes: MAX_BYTES, unknownProperties: 'Deny' } as never,
    tooLarge: () => ({ effect: 'refuse', code: 'body_too_large', reason: '', facts: {} }),
    found: (fault) =>
      fault === undefined
        ? []
        : [{ effect: 'refuse', code: fault.code, reason: JSON.stringify(fault.details), facts: {} }],
  });
  const gate = new MessageGate(exchange as unknown as Exchange, source, plan, 'caller');
  const passed: Buffer[] = [];
  const ended = new Promise<Error | undefined>((resolve) => {
    gate.start({
      onChunk: (chunk) => passed.push(Buffer.from(chunk)),
      onEnd: () => resolve(undefined),
      onError: resolve,
    });
  });
  return { source, exchange, gate, passed, found, ended };
}

/** What comes out of a gate into which chunks go: the bytes, and what ended it. */
async function through(chunks: readonly Buffer[], options: Parameters<typeof open>[0] = {}) {
  const { source, passed, found, ended } = open(options);
  for (const chunk of chunks) await source.write(chunk);
  if (!source.isCancelled) source.consumer?.onEnd([]);
  const error = await ended;
  return { bytes: Buffer.concat(passed), found, code: error instanceof Refusal ? error.code : error?.message };
}

function frame(message: Buffer, flag = 0): Buffer {
  const prefix = Buffer.from([flag, 0, 0, 0, 0]);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

const order = (more: object) => shop.encode('Order', { id: 'a', ...more });
const good = fc.oneof(
  fc.integer({ min: 1, max: 400 }).map((length) => frame(order({ id: 'x'.repeat(length) }))),
  fc.constant(frame(order({ kind: 1 }))),
  fc.integer({ min: 1, max: 4_000 }).map((length) => frame(gzipSync(order({ id: 'x'.repeat(length) })), 1)),
);
const bad = fc.constantFrom(
  { bytes: frame(Buffer.from([0x08, 1])), code: 'invalid_body' },
  { bytes: frame(gzipSync(Buffer.from([0x08, 1])), 1), code: 'invalid_body' },
  { bytes: frame(Buffer.from('no gzip'), 1), code: 'malformed_body' },
  { bytes: frame(Buffer.from([0x0a, 9])), code: 'malformed_body' },
  { bytes: frame(Buffer.from([0x48, 1, 0x0a, 1, 0x61])), code: 'unknown_property' },
  { bytes: frame(order({}), 2), code: 'malformed_body' },
  { bytes: frame(Buffer.alloc(MAX_BYTES + 1)).subarray(0, 50), code: 'body_too_large' },
  { bytes: frame(gzipSync(Buffer.alloc(MAX_BYTES + 1)), 1), code: 'body_too_large' },
);
const cuts = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 50 });

/** The bytes in chunks, of such lengths in turn. */
function inPieces(bytes: Buffer, lengths: readonly number[]): readonly Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const length = lengths[turn % lengths.length] ?? 1;
    pieces.push(bytes.subarray(at, at + length));
    at += length;
  }
  return pieces;
}

const RUNS = { numRuns: 150, seed: 20_261_123, endOnFailure: true };

t.test('good messages pass as they came, however they are cut', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(good, { maxLength: 12 }), cuts, async (messages, lengths) => {
      const bytes = Buffer.concat(messages);
      const out = await through(inPieces(bytes, lengths));
      return out.code === undefined && out.bytes.equals(bytes) && heldBytes() === 0;
    }),
    RUNS,
  );
  t.equal(heldBytes(), 0);
});

t.test('nothing of a bad message passes, nor of what follows it', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(good, { maxLength: 6 }),
      bad,
      good,
      cuts,
      async (before, { bytes, code }, after, lengths) => {
        const out = await through(inPieces(Buffer.concat([...before, bytes, after]), lengths));
        const whole = Buffer.concat(before);
        return out.code === code && whole.subarray(0, out.bytes.length).equals(out.bytes) && heldBytes() === 0;
      },
    ),
    RUNS,
  );
  t.equal(heldBytes(), 0);
});

t.test('where nothing is enforced all passes, and one finding is recorded', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(good, { maxLength: 6 }),
      bad,
      good,
      cuts,
      async (before, { bytes, code }, after, lengths) => {
        const all = Buffer.concat([...before, bytes, after]);
        const out = await through(inPieces(all, lengths), { mode: 'Audit' });
        return out.code === undefined && out.bytes.equals(all) && out.found.join() === code && heldBytes() === 0;
      },
    ),
    RUNS,
  );
  t.equal(heldBytes(), 0);
});

t.test('a message that is not whole at the end, none, and two where there is one', async (t) => {
  const one = frame(order({}));
  t.match(await through([one, one.subarray(0, 7)]), { code: 'malformed_body', bytes: one });
  t.match(await through([one.subarray(0, 3)]), { code: 'malformed_body' });
  t.match(await through([], { isStream: false }), { code: 'malformed_body' });
  t.match(await through([one, one], { isStream: false }), { code: 'malformed_body', bytes: one });
  t.match(await through([one], { isStream: false }), { code: undefined, bytes: one });
  t.match(await through([]), { code: undefined });
  t.equal(heldBytes(), 0);
});

t.test('a message comes in time, or the call ends; where nothing is enforced it passes all the same', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.teardown(() => mock.timers.reset());
  const part = frame(order({})).subarray(0, 6);
  const enforced = open();
  await enforced.source.write(part);
  mock.timers.tick(BUFFERED_BODY_TIMEOUT_MS);
  t.match(await enforced.ended, { code: 'request_timeout' });
  const audited = open({ mode: 'Audit' });
  await audited.source.write(part);
  mock.timers.tick(BUFFERED_BODY_TIMEOUT_MS);
  t.strictSame(audited.passed, [part]);
  t.strictSame([audited.found, audited.source.isCancelled], [['request_timeout'], false]);
  t.equal(heldBytes(), 0);
});

t.test('an app that reads no further is not its caller being slow', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.teardown(() => mock.timers.reset());
  const message = frame(order({}));
  const { source, gate, exchange, passed, ended } = open();
  await source.write(message.subarray(0, 6));
  gate.pause();
  mock.timers.tick(10 * BUFFERED_BODY_TIMEOUT_MS);
  t.equal(exchange.givenUp, undefined);
  gate.resume();
  await source.write(message.subarray(6, 7));
  mock.timers.tick(BUFFERED_BODY_TIMEOUT_MS - 1);
  await source.write(message.subarray(7));
  t.strictSame(Buffer.concat(passed), message);
  await source.write(message.subarray(0, 6));
  gate.pause();
  gate.resume();
  mock.timers.tick(BUFFERED_BODY_TIMEOUT_MS);
  t.match(await ended, { code: 'request_timeout' }, 'it has as long again');
  t.equal(heldBytes(), 0);
});

t.test('when a message was judged elsewhere the call waits for whom it waited before', async (t) => {
  for (const message of [frame(gzipSync(order({})), 1), frame(order({ id: 'x'.repeat(300_000) }))]) {
    const { source, exchange, passed } = open();
    exchange.waitFor('upstream-head');
    for (const piece of inPieces(message, [message.length - 4, 4])) await source.write(piece);
    t.equal(exchange.waitingFor, 'judgement');
    await source.write(frame(order({})));
    t.equal(passed.length, 2);
    t.equal(exchange.waitingFor, 'upstream-head');
  }
});

t.test('what came behind a bad message while another was judged holds no memory', async (t) => {
  const zipped = frame(gzipSync(order({})), 1);
  const one = frame(order({}));
  const out = await through([zipped, frame(order({}), 2), one, one], { heedsPause: false });
  t.match(out, { code: 'malformed_body', bytes: zipped });
  t.equal(heldBytes(), 0);
});

t.test('who says much and sends little holds no memory', async (t) => {
  const source = inPieces(frame(Buffer.alloc(MAX_BYTES)).subarray(0, 100), [1]);
  const ending = through(source);
  t.ok(heldBytes() < 1_000);
  t.match(await ending, { code: 'malformed_body' });
  t.equal(heldBytes(), 0);
});

t.test('without memory a message is refused, or passes and is recorded', async (t) => {
  reserveBytes(MAX_BUFFERED_BYTES);
  t.teardown(() => releaseBytes(MAX_BUFFERED_BYTES));
  const one = frame(order({}));
  t.match(await through([one]), { code: undefined, bytes: one }, 'what comes whole needs none');
  t.match(await through(inPieces(one, [6])), { code: 'overloaded' });
  t.match(await through(inPieces(one, [6]), { mode: 'Audit' }), { code: undefined, bytes: one, found: ['overloaded'] });
  t.equal(heldBytes(), MAX_BUFFERED_BYTES);
});

t.test('what the judging thread fails at passes where nothing is enforced', async (t) => {
  const large = frame(order({ id: 'x'.repeat(300_000) }));
  const of = { ...document, units: [] };
  t.match(await through([large, large], { of }), { code: 'internal_error' });
  const audited = await through([large, large], { of, mode: 'Audit' });
  t.match(audited, { code: undefined, found: ['internal_error'] });
  t.ok(audited.bytes.equals(Buffer.concat([large, large])));
  t.equal(heldBytes(), 0);
});

t.test('without memory to wait for a judgement with all passes where nothing is enforced, in order', async (t) => {
  const one = frame(order({}));
  const zipped = frame(gzipSync(order({ id: 'x'.repeat(99) })), 1);
  const chunks = [Buffer.concat([one, zipped, one]), zipped, one, zipped];
  for (const left of [0, zipped.length, zipped.length + one.length, 2 * zipped.length + one.length]) {
    reserveBytes(MAX_BUFFERED_BYTES - left);
    for (const heedsPause of [true, false]) {
      const enforced = await through(chunks, { heedsPause });
      const audited = await through(chunks, { heedsPause, mode: 'Audit' });
      if (left < 2 * zipped.length || !heedsPause) {
        t.match(enforced, { code: 'overloaded' });
        t.match(audited, { code: undefined, found: ['overloaded'] });
      }
      t.ok(audited.bytes.equals(Buffer.concat(chunks)), `all passes, ${left} bytes left`);
    }
    t.equal(heldBytes(), MAX_BUFFERED_BYTES - left);
    releaseBytes(MAX_BUFFERED_BYTES - left);
  }
});

t.test('ten thousand messages in one read hold nobody up', async (t) => {
  const many = Buffer.concat(Array(10_000).fill(frame(order({ items: [{ sku: 'ABC-1', quantity: 1 }] }))));
  await through([many.subarray(0, many.length / 10)]); // warm
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const out = await through([many]);
  delay.disable();
  t.ok(out.bytes.equals(many));
  t.ok(delay.percentile(90) < 60e6, `90% of turns take at most ${delay.percentile(90) / 1e6} ms`);
});
