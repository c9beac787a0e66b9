import t, { type Test } from 'tap';
import { GO_TEST_TIMEOUT_MS, goTools } from '../support/go-tools.ts';
import { startGrpcPeers } from '../support/grpc-peers.ts';

t.setTimeout(GO_TEST_TIMEOUT_MS);

const MIB = 2 ** 20;
/** LATERAL_LONG_TESTS=1 asks for what takes minutes. */
const isLong = process.env['LATERAL_LONG_TESTS'] === '1';
const LONG = isLong ? {} : { skip: 'LATERAL_LONG_TESTS=1 runs it' };
/** What may be on the way while the client does not read: windows and buffers of four programs, never the whole. */
const MOST_UNREAD_BYTES = 32 * MIB;
const PAUSE_MS = 1_000;
/** The fastest of equal streams gets at most so many times what the slowest gets. */
const MOST_UNFAIR = 8;

const tools = await goTools(t, 'grpc');
if (tools !== undefined) {
  const { ask } = await startGrpcPeers(t, tools.grpc);

  /** Echoes `total` bytes in messages of `message` bytes, compared by the client one by one. */
  const transfer = async (t: Test, options: { total: number; message: number; [option: string]: number }) => {
    const seen = await ask('transfer', options);
    t.match(seen, { code: 'OK', sentBytes: options.total, receivedBytes: options.total });
    return seen;
  };

  t.test('64 MiB pass both ways at once, in messages of 1 MiB', async (t) => {
    await transfer(t, { total: 64 * MIB, message: MIB });
  });
  t.test('messages of 8 MiB pass both ways', async (t) => {
    await transfer(t, { total: 64 * MIB, message: 8 * MIB });
  });
  t.test('20,000 messages of 64 bytes pass both ways', async (t) => {
    await transfer(t, { total: 20_000 * 64, message: 64 });
  });
  t.test('a client that does not read stops the stream, and all goes on when it does', async (t) => {
    const seen = await transfer(t, { total: 128 * MIB, message: MIB, 'client-pause-ms': PAUSE_MS });
    t.ok(Number(seen['sentBeforeReadingBytes']) < MOST_UNREAD_BYTES, 'backpressure reached the sender', seen);
  });
  t.test('a server that does not read stops the stream, and all goes on when it does', async (t) => {
    // the client, too, begins late: what it has sent by then is what fits between the two
    const pauses = { 'server-pause-ms': 2 * PAUSE_MS, 'client-pause-ms': PAUSE_MS };
    const seen = await transfer(t, { total: 64 * MIB, message: MIB, ...pauses });
    t.ok(Number(seen['sentBeforeReadingBytes']) < MOST_UNREAD_BYTES, 'backpressure reached the sender', seen);
  });
  t.test('1 GiB passes both ways', LONG, async (t) => {
    await transfer(t, { total: 1024 * MIB, message: 4 * MIB });
  });

  t.test('2,000 streams are open at once over one connection', async (t) => {
    const seen = await ask('streams', { count: 2_000 });
    t.match(seen, { failed: 0, mostAtOnce: 2_000 });
  });
  t.test('10,000 streams are open at once over four connections', LONG, async (t) => {
    const seen = await ask('streams', { count: 10_000, connections: 4 });
    t.match(seen, { failed: 0, mostAtOnce: 10_000 });
  });
  t.test('64 endless streams share one connection', async (t) => {
    const seen = await ask('share', { count: 64, 'duration-ms': 2_000 });
    t.ok(Number(seen['leastBytes']) >= Number(seen['mostBytes']) / MOST_UNFAIR, 'nobody starves', seen);
  });
  t.test('500 streams that are cancelled at once do not end the others of their connection', async (t) => {
    const seen = await ask('give-up', { count: 500 });
    t.match(seen, { code: 'OK', cancelled: 500, after: 'OK' });
  });
}
