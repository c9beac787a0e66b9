import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { CompressionError, HeaderDecoder } from '#sidecar/http/h2/hpack/header-decoder.ts';
import { HeaderEncoder, MAX_ENCODER_TABLE_BYTES } from '#sidecar/http/h2/hpack/header-encoder.ts';
import { decodeAll, encodeAll, likelyBlock, type Pairs } from './blocks.ts';

/**
 * Both directions against golang.org/x/net/http2/hpack (test/peers/hpack), built for this run. Go's encoder uses
 * Huffman's code wherever it is shorter and puts all fields into the table, evicting as it goes.
 */
const sources = fileURLToPath(new URL('../../../../peers/hpack', import.meta.url));
/** A first build compiles a part of Go's own library. */
const BUILD_TIMEOUT_MS = 100_000;

interface PeerField {
  readonly name: string;
  readonly value: string;
  readonly never: boolean;
}
interface Answer {
  readonly fields: readonly PeerField[] | null;
  readonly block: string | null;
  readonly error: string;
}

/** One step of a connection: the table sizes that the sender hears of, and the fields of a block. */
interface Step {
  readonly sizes: readonly number[];
  readonly pairs: Pairs;
  /** Blocks with the same fields. */
  readonly repetitions: number;
}

/** The path of the built program; undefined, with a skipped test that says why: there is no Go here. */
function buildPeer(t: Test): string | undefined {
  const found = spawnSync('go', ['version']);
  if (found.error !== undefined) {
    const reason = `the Go peer of test/peers/hpack cannot be built: ${found.error.message}`;
    t.pass('Go is on the PATH', { skip: reason });
    return undefined;
  }
  const program = join(t.testdir({}), 'hpack');
  const built = spawnSync('go', ['build', '-mod=readonly', '-trimpath', '-o', program, '.'], {
    cwd: sources,
    encoding: 'utf8',
    timeout: BUILD_TIMEOUT_MS,
  });
  if (built.status !== 0) throw new Error(`go build in test/peers/hpack: ${built.stderr}`);
  return program;
}

function ask(program: string, commands: readonly object[]): Answer[] {
  const input = commands.map((command) => `${JSON.stringify(command)}\n`).join('');
  const { status, stdout, stderr } = spawnSync(program, { input, encoding: 'utf8', maxBuffer: 2 ** 28 });
  if (status !== 0) throw new Error(`the peer ended with ${status}: ${stderr}`);
  const answers = stdout.trim().split('\n').map(readAnswer);
  if (answers.length !== commands.length) throw new Error(`${answers.length} answers to ${commands.length} commands`);
  return answers;
}

function readAnswer(line: string): Answer {
  const answer: Answer = JSON.parse(line);
  return answer;
}

function base64(text: string): string {
  return Buffer.from(text, 'latin1').toString('base64');
}

function latin1(text: string): string {
  return Buffer.from(text, 'base64').toString('latin1');
}

const character = fc.oneof(
  { weight: 5, arbitrary: fc.integer({ min: 0x20, max: 0x7e }) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 255 }) },
);
const text = fc.string({ unit: character.map((code) => String.fromCharCode(code)), maxLength: 60 });
const names = [':method', ':path', ':status', 'accept', 'cookie', 'date', 'x-a', 'x-b', 'X-A', 'traceparent'];
const pair = fc.tuple(
  fc.oneof({ weight: 5, arbitrary: fc.constantFrom(...names) }, { weight: 1, arbitrary: text }),
  fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom('', '/', 'GET', '200', '1', 'a'.repeat(60), 'b'.repeat(900)) },
    { weight: 2, arbitrary: text },
    { weight: 1, arbitrary: fc.nat(5_000).map((length) => 'c'.repeat(length)) },
  ),
);
const tableBytes = fc.oneof(fc.constantFrom(0, 100, 4_096, MAX_ENCODER_TABLE_BYTES), fc.nat(MAX_ENCODER_TABLE_BYTES));
/** Go takes a second update in one block only while the table is empty, so the smallest of two sizes must be 0. */
const sizes = fc.oneof(
  { weight: 4, arbitrary: fc.constant([]) },
  { weight: 1, arbitrary: tableBytes.map((bytes) => [bytes]) },
  { weight: 1, arbitrary: tableBytes.map((bytes) => [0, bytes]) },
);
const step: fc.Arbitrary<Step> = fc.record({
  sizes,
  pairs: fc.array(pair, { minLength: 1, maxLength: 20 }),
  repetitions: fc.integer({ min: 1, max: 4 }),
});
/** Blocks of one connection, in order. */
const connection = fc
  .array(step, { minLength: 1, maxLength: 20 })
  .map((steps) => steps.flatMap((one) => [one, ...new Array<Step>(one.repetitions - 1).fill({ ...one, sizes: [] })]));

t.test('HPACK with Go on the other side', { timeout: 120_000 }, async (t) => {
  const program = buildPeer(t);
  if (program === undefined) return;

  t.test('Go reads what we write', async (t) => {
    let indexed = 0;
    let never = 0;
    fc.assert(
      fc.property(connection, (steps) => {
        const encoder = new HeaderEncoder();
        const blocks = steps.map(({ sizes, pairs }) => {
          for (const bytes of sizes) encoder.setMaxTableBytes(bytes);
          return encodeAll(encoder, pairs);
        });
        const answers = ask(program, [
          { allowTableBytes: MAX_ENCODER_TABLE_BYTES },
          ...blocks.map((block) => ({ decode: block.toString('base64') })),
        ]);
        for (const [index, { pairs }] of steps.entries()) {
          const answer = answers[index + 1];
          t.equal(answer?.error, '');
          const fields = answer?.fields ?? [];
          t.strictSame(
            fields.map(({ name, value }) => [latin1(name), latin1(value)]),
            pairs,
          );
          if ((blocks[index]?.length ?? 0) === pairs.length) indexed++;
          for (const field of fields) {
            if (field.never) never++;
            else if (latin1(field.name) === 'cookie' && field.value !== '') t.fail('a cookie may be indexed');
          }
        }
      }),
      { numRuns: 40 },
    );
    t.ok(indexed > 10, `${indexed} blocks were indices only`);
    t.ok(never > 10, `${never} fields were never to be indexed`);
  });

  t.test('we read what Go writes', async (t) => {
    fc.assert(
      fc.property(connection, (steps) => {
        const commands = steps.flatMap(({ sizes, pairs }) => [
          ...sizes.map((peerTableBytes) => ({ peerTableBytes })),
          {
            encode: pairs.map(([name, value], index) => ({
              name: base64(name),
              value: base64(value),
              never: index % 7 === 6,
            })),
          },
        ]);
        const decoder = new HeaderDecoder(MAX_ENCODER_TABLE_BYTES);
        const blocks = ask(program, commands).filter(({ block }) => block !== null);
        t.equal(blocks.length, steps.length);
        for (const [index, { pairs }] of steps.entries()) {
          const block = Buffer.from(blocks[index]?.block ?? '', 'base64');
          t.strictSame(
            decodeAll(decoder, block),
            pairs.map(([name, value]) => `${name}: ${value}`),
          );
        }
      }),
      { numRuns: 40 },
    );
  });

  t.test('what Go refuses we refuse, and what we read Go reads alike', async (t) => {
    let refused = 0;
    let read = 0;
    fc.assert(
      fc.property(fc.array(likelyBlock, { minLength: 100, maxLength: 400 }), (blocks) => {
        const answers = ask(
          program,
          blocks.map((block) => ({ fresh: true, decode: block.toString('base64') })),
        );
        for (const [index, block] of blocks.entries()) {
          const fields = (answers[index]?.fields ?? []).map(({ name, value }) => `${latin1(name)}: ${latin1(value)}`);
          const theirs = answers[index]?.error === '' ? fields : 'refused';
          const ours = outcome(block);
          if (ours === 'stricter') continue;
          if (ours === 'refused') refused++;
          else read++;
          t.strictSame(ours, theirs, block.toString('hex'));
        }
      }),
      { numRuns: 10 },
    );
    t.ok(refused > 100, `${refused} blocks were refused`);
    t.ok(read > 100, `${read} blocks were read`);
  });
});

/** Go reads integers with any number of leading zeros, and a size update anywhere while the table is empty. */
const STRICTER = /an integer of more than|size update after a field/;

function outcome(block: Buffer): string[] | 'refused' | 'stricter' {
  try {
    return decodeAll(new HeaderDecoder(), block);
  } catch (error) {
    if (!(error instanceof CompressionError)) throw error;
    return STRICTER.test(error.message) ? 'stricter' : 'refused';
  }
}
