import t, { type Test } from 'tap';
import { GO_TEST_TIMEOUT_MS, goTools } from '../support/go-tools.ts';
import { startGrpcPeers } from '../support/grpc-peers.ts';

t.setTimeout(GO_TEST_TIMEOUT_MS);

const MIB = 2 ** 20;
/** LATERAL_LONG_TESTS=1 asks for what takes a minute and more. */
const LONG = process.env['LATERAL_LONG_TESTS'] === '1' ? {} : { skip: 'LATERAL_LONG_TESTS=1 runs it' };
/** What may be on the way while nobody reads: windows and buffers of four programs, seen to be 2 to 4 MiB. */
const MOST_UNREAD_BYTES = 16 * MIB;
const PAUSE_MS = 600;

const tools = await goTools(t, 'grpc');
if (tools !== undefined) {
  const { ask } = await startGrpcPeers(t, tools.grpc);

  /** Echoes `total` bytes in messages of `message` bytes; the client compares what comes back. */
  const transfer = async (t: Test, options: { total: number; message: number; [option: string]: number }) => {
    const seen = await ask('transfer', options);
    t.match(seen, { code: 'OK', sentBytes: options.total, receivedBytes: options.total });
    return seen;
  };

  t.test('64 MiB pass both ways at once, in messages of 1 MiB', async (t) => {
    await transfer(t, { total: 64 * MIB, message: MIB });
  });

  t.test('messages of 8 MiB pass both ways', async (t) => {
    await transfer(t, { total: 32 * MIB, message: 8 * MIB });
  });

  t.test('10,000 messages of 64 bytes pass both ways', async (t) => {
    await transfer(t, { total: 10_000 * 64, message: 64 });
  });

  t.test('a client that does not read stops the stream, and all goes on when it does', async (t) => {
    const seen = await transfer(t, { total: 32 * MIB, message: MIB, 'client-pause-ms': PAUSE_MS });
    t.ok(Number(seen['sentBeforeReadingBytes']) < MOST_UNREAD_BYTES, 'backpressure reached the sender', seen);
  });

  t.test('a server that does not read stops the stream, and all goes on when it does', async (t) => {
    // the client begins late, too: what it has sent by then is what fits between the two
    const pauses = { 'client-pause-ms': PAUSE_MS, 'server-pause-ms': 2 * PAUSE_MS };
    const seen = await transfer(t, { total: 32 * MIB, message: MIB, ...pauses });
    t.ok(Number(seen['sentBeforeReadingBytes']) < MOST_UNREAD_BYTES, 'backpressure reached the sender', seen);
  });

  t.test('1 GiB passes both ways', LONG, async (t) => {
    await transfer(t, { total: 1024 * MIB, message: 4 * MIB });
  });
}
