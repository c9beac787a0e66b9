import fc from 'fast-check';
import { ACK, CANCEL, END_HEADERS, NO_ERROR, PUSH_PROMISE, REFUSED_STREAM } from '#sidecar/http/h2/frame.ts';
import {
  data,
  frame,
  goaway,
  headers,
  ping,
  priority,
  request,
  rstStream,
  settings,
  settingsAck,
  windowUpdate,
} from './frames.ts';
import { likelyBlock } from './hpack/blocks.ts';

/** A frame that is about a stream, which is chosen when it is known which there are. */
type Step = (id: number) => Buffer;

/** Streams that no good peer would speak of. */
const STRANGE_IDS = [0, 2, 99, 0x7fff_ffff];

const body = fc.oneof(
  fc.string({ maxLength: 20 }).map((text) => Buffer.from(text)),
  fc.integer({ min: 0, max: 5_000 }).map((size) => Buffer.alloc(size, 0x61)),
);
const options = fc.record({
  end: fc.boolean(),
  padding: fc.option(fc.integer({ min: 0, max: 255 }), { nil: undefined, freq: 3 }),
});
const headOptions = fc.record({
  end: fc.boolean(),
  padding: fc.option(fc.integer({ min: 0, max: 255 }), { nil: undefined, freq: 3 }),
  dependsOn: fc.option(fc.constantFrom(0, 98), { nil: undefined, freq: 3 }),
  piece: fc.constantFrom(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, 1, 7, 30),
});
const fields = fc
  .array(
    fc.tuple(
      fc.constantFrom('x', 'cookie', 'content-length', 'expect', 'te', 'host', 'X', 'connection'),
      fc.constantFrom('', '1', '5', 'a=b', 'trailers', '100-continue', 'a\r\nb'),
    ),
    { maxLength: 3 },
  )
  .map((pairs) => pairs.flat());

const goodSetting = fc.constantFrom<readonly [number, number]>(
  [1, 0],
  [1, 100],
  [1, 65_536],
  [2, 0],
  [3, 0],
  [3, 100],
  [4, 0],
  [4, 100],
  [4, 70_000],
  [5, 16_384],
  [5, 100_000],
  [6, 1_000],
  [8, 1],
  [0xf1a7, 1],
  [0xf1a7, 0],
  [0x99, 7],
);
const anySetting = fc.tuple(
  fc.constantFrom(1, 2, 3, 4, 5, 6, 8, 0xf1a7),
  fc.constantFrom(0, 1, 100, 65_535, 16_384, 0x7fff_ffff, 0xffff_ffff),
);

const requestHead = fc
  .tuple(fc.constantFrom('GET', 'POST', 'HEAD', 'CONNECT'), fc.constantFrom('/', '/a', ''), fields)
  .map(([method, path, more]) => request(method, path, ...more));
const responseHead = fc
  .tuple(fc.constantFrom('200', '204', '304', '404', '100', '103', '101', '20'), fields)
  .map(([status, more]) => [':status', status, ...more]);

/** What either side may say on a stream or on the connection, by how often it does. */
const common: readonly (readonly [weight: number, step: fc.Arbitrary<Step>])[] = [
  [
    12,
    fc.tuple(body, options).map(
      ([bytes, how]) =>
        (id) =>
          data(id, bytes, clean(how)),
    ),
  ],
  [2, fields.map((trailers) => (id) => headers(id, trailers, { end: true }))],
  [
    1,
    fc.tuple(fields, headOptions).map(
      ([trailers, how]) =>
        (id) =>
          headers(id, trailers, clean(how)),
    ),
  ],
  [
    1,
    fc.tuple(likelyBlock, headOptions).map(
      ([block, how]) =>
        (id) =>
          headers(id, block, clean(how)),
    ),
  ],
  [2, fc.constantFrom(NO_ERROR, CANCEL, REFUSED_STREAM).map((code) => (id) => rstStream(id, code))],
  [3, fc.constantFrom(1, 100, 70_000).map((size) => (id) => windowUpdate(id, size))],
  [2, fc.constantFrom(1, 100, 70_000).map((size) => () => windowUpdate(0, size))],
  [0.5, fc.constantFrom(0, 0x7fff_ffff).map((size) => (id) => windowUpdate(id, size))],
  [1, fc.constantFrom(0, 1, 3).map((other) => (id) => priority(id, other))],
  [2, fc.array(goodSetting, { maxLength: 3 }).map((pairs) => () => settings(...pairs))],
  [0.5, fc.array(anySetting, { maxLength: 3 }).map((pairs) => () => settings(...pairs))],
  [2, fc.constantFrom(settingsAck, ping(), ping('12345678', ACK)).map((whole) => () => whole)],
  [0.2, fc.constant(() => frame(PUSH_PROMISE, END_HEADERS, 1, Buffer.alloc(8)))],
  [
    0.3,
    fc.tuple(fc.integer({ min: 0, max: 15 }), fc.constantFrom(NO_ERROR, 11)).map(
      ([last, code]) =>
        () =>
          goaway(last, code),
    ),
  ],
  [
    0.5,
    fc.tuple(fc.integer({ min: 0, max: 12 }), fc.integer({ min: 0, max: 255 }), fc.uint8Array({ maxLength: 12 })).map(
      ([type, flags, payload]) =>
        (id) =>
          frame(type, flags, id, payload),
    ),
  ],
];

/** What a client might say behind its greeting: mostly sense. */
export const clientFrames: fc.Arbitrary<Buffer> = sequence(
  fc.tuple(requestHead, headOptions).map(
    ([head, how]) =>
      (id) =>
        headers(id, head, clean(how)),
  ),
  0,
);

/** What a server might say behind its greeting, to a client that asked on streams 1 to 15. */
export const serverFrames: fc.Arbitrary<Buffer> = sequence(
  fc.tuple(responseHead, headOptions).map(
    ([head, how]) =>
      (id) =>
        headers(id, head, clean(how)),
  ),
  15,
);

/** `lastId`: of the streams that are there; 0: `head` opens them. */
function sequence(head: fc.Arbitrary<Step>, lastId: number): fc.Arbitrary<Buffer> {
  const steps = fc.oneof(
    { weight: 120, arbitrary: head.map((step) => ({ step, isHead: true })) },
    ...common.map(([weight, step]) => ({
      weight: weight * 10,
      arbitrary: step.map((each) => ({ step: each, isHead: false })),
    })),
  );
  return fc.array(fc.tuple(steps, fc.nat(), fc.integer({ min: 0, max: 99 })), { maxLength: 30 }).map((chosen) => {
    let last = lastId;
    const frames = chosen.map(([{ step, isHead }, pick, chance]) => {
      if (chance < 2) return step(STRANGE_IDS[pick % STRANGE_IDS.length] ?? 0);
      if (lastId === 0 && isHead && (last === 0 || chance < 90)) {
        last = last === 0 ? 1 : last + 2;
        return step(last);
      }
      return last === 0 ? ping() : step((pick % ((last + 1) / 2)) * 2 + 1);
    });
    return Buffer.concat(frames);
  });
}

/** The same with accidents: bits turned, bytes lost and bytes said twice. */
export function mutated(frames: fc.Arbitrary<Buffer>): fc.Arbitrary<Buffer> {
  const accident = fc.tuple(fc.nat(), fc.constantFrom('turn', 'lose', 'double'), fc.integer({ min: 0, max: 255 }));
  return fc.tuple(frames, fc.array(accident, { maxLength: 4 })).map(([bytes, accidents]) => {
    let changed = bytes;
    for (const [place, what, value] of accidents) {
      const at = changed.length === 0 ? 0 : place % changed.length;
      const piece = what === 'turn' ? Buffer.of(value) : what === 'lose' ? NOTHING : Buffer.of(value, value);
      changed = Buffer.concat([changed.subarray(0, at), piece, changed.subarray(at + 1)]);
    }
    return changed;
  });
}

const NOTHING = Buffer.alloc(0);

/** Without the options that are not there. */
function clean<T extends object>(how: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const kept: { [K in keyof T]?: Exclude<T[K], undefined> } = {};
  for (const [name, value] of Object.entries(how)) if (value !== undefined) Object.assign(kept, { [name]: value });
  return kept;
}
