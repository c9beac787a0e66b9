import fc from 'fast-check';
import { PREFACE } from '#sidecar/http/h2/frame.ts';
import { cutAt } from '../sidecar/http/h1/split-bytes.ts';
import {
  data,
  goaway,
  headers,
  ping,
  priority,
  request,
  rstStream,
  settings,
  settingsAck,
  windowUpdate,
} from '../sidecar/http/h2/frames.ts';
import { clientFrames, serverFrames } from '../sidecar/http/h2/generate-frames.ts';
import { traceClient, traceGreetedServer, traceServer } from '../sidecar/http/h2/trace-session.ts';
import { type FuzzTarget, mustEqual, numberOf } from './fuzz-target.ts';

/** Inputs up to this are also given byte by byte. */
const MAX_SINGLE_BYTES = 512;
const SEEDS = 60;
/** Generated seeds are the same each time. */
const SEED = 42;

/** Http2Session as a server: faults end in GOAWAY or RST_STREAM alone; all splits read alike; the invariants of trace-session.ts. */
export const h2ServerSession: FuzzTarget = {
  name: 'h2-server-session',
  sources: ['/sidecar/http/h2/'],
  seeds: () => [...fc.sample(clientFrames, { seed: SEED, numRuns: SEEDS }), Buffer.concat([PREFACE, settings()])],
  dictionary: [
    ...pieces(),
    headers(1, request('GET', '/'), { end: true }),
    headers(3, request('POST', '/', 'content-length', '5')),
  ],
  maxBytes: 4_096,
  // an input that begins as a connection does is one; any other comes behind a greeting
  run: (bytes) =>
    traceAlike(bytes, bytes.subarray(0, 3).equals(PREFACE.subarray(0, 3)) ? traceServer : traceGreetedServer),
};

/** Http2Session as a client, with eight requests under way. */
export const h2ClientSession: FuzzTarget = {
  name: 'h2-client-session',
  sources: ['/sidecar/http/h2/'],
  seeds: () => fc.sample(serverFrames, { seed: SEED, numRuns: SEEDS }),
  dictionary: [...pieces(), headers(1, [':status', '200']), headers(5, [':status', '204'], { end: true })],
  maxBytes: 4_096,
  run: (bytes) => traceAlike(bytes, traceClient),
};

function pieces(): Buffer[] {
  return [
    ...[1, 3, 5, 7, 9, 11, 13, 15].flatMap((id) => [
      data(id, 'abcde', { end: true }),
      data(id, '', { padding: 9 }),
      rstStream(id, 8),
      headers(id, ['x', 'y'], { end: true }),
    ]),
    headers(17, Buffer.from('828684', 'hex'), { piece: 1 }),
    windowUpdate(0, 1),
    windowUpdate(5, 0x7fff_ffff),
    settings([4, 0]),
    settings([4, 0x7fff_ffff], [3, 0], [1, 0]),
    settings([0xf1a7, 1]),
    settingsAck,
    ping(),
    goaway(3, 0),
    priority(3, 3),
  ];
}

/** What became of it; throws where a split makes a difference. */
function traceAlike(bytes: Buffer, trace: (reads: readonly Buffer[], isInputReused?: boolean) => string[]): string {
  const lines = trace([bytes]);
  const expected = lines.join('\n');
  const seed = numberOf(bytes);
  const places = [seed % (bytes.length + 1), (seed >>> 8) % (bytes.length + 1), (seed >>> 16) % (bytes.length + 1)];
  mustEqual(trace(cutAt(bytes, places), true).join('\n'), expected, `split at ${places}, each read in the same buffer`);
  if (bytes.length <= MAX_SINGLE_BYTES) {
    const single = [...bytes].map((byte) => Buffer.of(byte));
    mustEqual(trace(single).join('\n'), expected, 'byte by byte');
  }
  const kinds = lines.map((line) => line.replace(/"(?:[^"\\]|\\.)*"|\[.*\]|\d+/g, '_').slice(0, 60));
  return [...new Set(kinds)].sort().join(' ');
}
