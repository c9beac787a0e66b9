import t from 'tap';
import { STREAM_WINDOW_BYTES } from '#sidecar/http/h2/http2-session.ts';
import { GO_TEST_TIMEOUT_MS, goTools } from '../support/go-tools.ts';
import { startGrpcPeers } from '../support/grpc-peers.ts';

t.setTimeout(GO_TEST_TIMEOUT_MS);

/** LATERAL_LONG_TESTS=1 asks for what takes a minute and more. */
const LONG = process.env['LATERAL_LONG_TESTS'] === '1' ? {} : { skip: 'LATERAL_LONG_TESTS=1 runs it' };
/** The fastest of equal streams gets at most so many times what the slowest gets. */
const MOST_UNFAIR = 8;

const tools = await goTools(t, 'grpc');
if (tools !== undefined) {
  const { ask } = await startGrpcPeers(t, tools.grpc);

  t.test('2,000 streams are open at once over one connection', async (t) => {
    const seen = await ask('streams', { count: 2_000 });
    t.equal(seen['failed'], 0, 'each had its answers and trailers', seen);
    t.ok(Number(seen['mostAtOnce']) >= 2_000, 'at once', seen);
  });

  t.test('10,000 streams are open at once over four connections', LONG, async (t) => {
    const seen = await ask('streams', { count: 10_000, connections: 4 });
    t.equal(seen['failed'], 0, 'each had its answers and trailers', seen);
    t.ok(Number(seen['mostAtOnce']) >= 10_000, 'at once', seen);
  });

  t.test('64 endless streams share one connection', async (t) => {
    const seen = await ask('share', { count: 64, 'duration-ms': 2_000 });
    // one may be a window ahead: credit comes in steps of half of one
    const most = Number(seen['mostBytes']) - STREAM_WINDOW_BYTES;
    t.ok(Number(seen['leastBytes']) >= most / MOST_UNFAIR, 'nobody starves', seen);
  });

  // what happens when a server hangs and a common deadline passes: no attack, however many they are
  t.test('2,000 streams that are cancelled at once do not end the others of their connection', async (t) => {
    const seen = await ask('give-up', { count: 2_000 });
    t.match(seen, { code: 'OK', cancelled: 2_000, after: 'OK' });
  });
}
