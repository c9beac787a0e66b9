import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { codingOf, undoCoding } from '#policy/validation/decode/undo-coding.ts';

const CODERS = { gzip: gzipSync, deflate: deflateSync, br: brotliCompressSync, zstd: zstdCompressSync } as const;
const CODINGS = ['gzip', 'deflate', 'br', 'zstd'] as const;
const MEBIBYTE = 1024 * 1024;

t.test('every coding is undone', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 5000 }), fc.constantFrom(...CODINGS), async (bytes, coding) => {
      const undone = await undoCoding(CODERS[coding](bytes), coding, bytes.length);
      return undone.kind === 'whole' && undone.bytes.equals(bytes);
    }),
  );
  t.same(['gzip', 'X-GZIP', ' br ', 'identity', '', 'gzip, br', 'compress'].map(codingOf), [
    ...['gzip', 'gzip', 'br', 'identity', 'identity', undefined, undefined],
  ]);
});

t.test('any bytes have an outcome, and none of them throws', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), fc.constantFrom(...CODINGS), async (bytes, coding) => {
      const { kind } = await undoCoding(Buffer.from(bytes), coding, 1000);
      return ['whole', 'longer', 'malformed'].includes(kind);
    }),
  );
});

for (const coding of CODINGS) {
  t.test(`${coding}: a bomb is left where the limit is, and nobody waits for it`, async (t) => {
    const bomb = CODERS[coding](Buffer.alloc(256 * MEBIBYTE));
    const before = process.memoryUsage.rss();
    const startedAt = performance.now();
    let longest = 0;
    let last = startedAt;
    const ticking = setInterval(() => {
      const now = performance.now();
      longest = Math.max(longest, now - last);
      last = now;
    }, 1);
    t.same(await undoCoding(bomb, coding, MEBIBYTE), { kind: 'longer' });
    clearInterval(ticking);
    t.comment(`${(performance.now() - startedAt).toFixed(1)} ms, longest wait ${longest.toFixed(1)} ms`);
    t.ok(process.memoryUsage.rss() - before < 64 * MEBIBYTE);
    t.ok(performance.now() - startedAt < 2000);
  });

  t.test(`${coding}: what is cut short, changed or followed by more is malformed`, async (t) => {
    const coded = CODERS[coding](Buffer.from('{"a":"some text that is long enough to be coded"}'.repeat(20)));
    const judge = async (bytes: Buffer) => (await undoCoding(bytes, coding, MEBIBYTE)).kind;
    t.equal(await judge(coded), 'whole');
    t.equal(await judge(coded.subarray(0, -1)), 'malformed');
    t.equal(await judge(Buffer.concat([coded, Buffer.from('{"b":1}')])), 'malformed');
    t.equal(await judge(Buffer.from('{"b":1}')), 'malformed');
    t.equal(await judge(Buffer.alloc(0)), 'malformed');
  });
}
