import fc from 'fast-check';
import t, { type Test } from 'tap';
import { cutAt, splits } from '../h1/split-bytes.ts';
import { data, headers, ping, request, rstStream, settings, windowUpdate } from './frames.ts';
import { clientFrames, mutated, serverFrames } from './generate-frames.ts';
import { traceClient, traceGreetedServer } from './trace-session.ts';

const RUNS = 300;

type Trace = (reads: readonly Buffer[], isInputReused?: boolean) => string[];

/** All the same: at once, byte by byte, and in two or three pieces. */
function invariance(t: Test, frames: fc.Arbitrary<Buffer>, trace: Trace): void {
  const kinds = new Set<string>();
  fc.assert(
    fc.property(frames, fc.array(fc.nat(), { minLength: 1, maxLength: 3 }), (bytes, places) => {
      const expected = trace([bytes]).join('\n');
      for (const line of expected.split('\n')) kinds.add(line.replace(/[\d"].*/, ''));
      const at = places.map((place) => place % (bytes.length + 1));
      for (const reads of [cutAt(bytes, at), [...bytes].map((byte) => Buffer.of(byte))]) {
        const actual = trace(reads).join('\n');
        if (actual !== expected) throw new Error(`split otherwise:\n${actual}\nis not\n${expected}`);
      }
      const reused = trace(cutAt(bytes, at), true).join('\n');
      if (reused !== expected) throw new Error(`each read in the same buffer:\n${reused}\nis not\n${expected}`);
    }),
    { numRuns: RUNS },
  );
  t.ok(kinds.size > 15, `${kinds.size} kinds of events and frames were seen`);
}

t.test('whatever a client says reads the same, however it is cut', async (t) =>
  invariance(t, clientFrames, traceGreetedServer),
);

t.test('also what it says by accident', async (t) => invariance(t, mutated(clientFrames), traceGreetedServer));

t.test('whatever a server says reads the same, however it is cut', async (t) =>
  invariance(t, serverFrames, traceClient),
);

t.test('also what that says by accident', async (t) => invariance(t, mutated(serverFrames), traceClient));

t.test('one conversation, cut at every single byte', async (t) => {
  const conversation = Buffer.concat([
    headers(1, request('POST', '/1', 'cookie', 'a=1', 'cookie', 'b=2'), { padding: 3, dependsOn: 0, piece: 20 }),
    data(1, 'body', { padding: 5 }),
    settings([4, 10]),
    headers(3, request('GET', '/3'), { end: true }),
    headers(7, request('GET', '/7'), { end: true }),
    data(1, ''),
    windowUpdate(7, 1_000),
    headers(9, request('POST', '/9'), {}),
    rstStream(9, 8),
    headers(1, ['x-sum', '1'], { end: true, piece: 3 }),
    headers(11, request('POST', '/11', 'content-length', '2')),
    data(11, 'ab', { end: true }),
    ping(),
    data(99, 'x'),
  ]);
  const expected = traceGreetedServer([conversation]);
  t.match(expected.join('\n'), /1 POST \/1 host server.test cookie a=1; b=2\n/);
  t.match(expected.join('\n'), /1 end "body" x-sum 1\n/);
  t.match(expected.join('\n'), /11 end "ab"\n[\s\S]*HEADERS 11 END_STREAM/);
  t.match(expected.join('\n'), /GOAWAY 11 PROTOCOL_ERROR\nfatal$/);
  for (const reads of splits(conversation)) {
    const actual = traceGreetedServer(reads, true);
    if (actual.join('\n') !== expected.join('\n'))
      t.strictSame(actual, expected, `first read of ${reads[0]?.length} bytes`);
  }
});
