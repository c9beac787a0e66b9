import t from 'tap';
import { GO_TEST_TIMEOUT_MS, goTools } from '../support/go-tools.ts';
import { type GrpcPeers, startGrpcPeers } from '../support/grpc-peers.ts';

t.setTimeout(GO_TEST_TIMEOUT_MS);

const DEADLINE_MS = 300;
/** What a slow machine may add to a deadline before the client or the server notices. */
const LATE_MS = 5_000;

/** Allows streams and refuses unary calls. */
const STREAMS_ONLY = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: streams-only, namespace: test}
spec: {rules: [{to: [{operation: {paths: [/grpc.testing.TestService/FullDuplexCall]}}]}]}
`;

const tools = await goTools(t, 'grpc');
if (tools !== undefined) {
  const peers = await startGrpcPeers(t, tools.grpc);
  testEnds(peers);
  testAnswers(peers);

  t.test('the death of the app in the middle of a stream reaches the client as an error', async (t) => {
    const { ask } = await startGrpcPeers(t, tools.grpc);
    const { code, messages } = await ask('abort', { behaviour: 'die' });
    t.equal(messages, 1, 'what came before is delivered');
    t.match(code, /^(Unavailable|Internal)$/);
    const after = await ask('unary');
    t.equal(after['code'], 'Unavailable', 'a call to an app that is away is unavailable');
  });

  t.test('a refusal of the sidecar is PERMISSION_DENIED with a message and the decision', async (t) => {
    const { ask } = await startGrpcPeers(t, tools.grpc, STREAMS_ONLY);
    const refused = await ask('unary');
    t.equal(refused['code'], 'PermissionDenied');
    t.match(refused['message'], /\w/);
    t.match({ ...own(refused['header']), ...own(refused['trailer']) }, { 'lateral-decision': [/\w/] });
    const allowed = await ask('streams', { count: 1 });
    t.equal(allowed['failed'], 0, 'what is allowed still passes');
  });
}

/** How calls end before their time. */
function testEnds({ ask, server, pair }: GrpcPeers): void {
  t.test('a deadline passes to the server, and its end to both', async (t) => {
    const seen = await ask('deadline', { call: 'deadline', 'timeout-ms': DEADLINE_MS });
    t.equal(seen['code'], 'DeadlineExceeded');
    t.ok(
      Number(seen['elapsedMs']) >= DEADLINE_MS && Number(seen['elapsedMs']) < DEADLINE_MS + LATE_MS,
      'in time',
      seen,
    );
    const told = await server.told({ event: 'ended', call: 'deadline' });
    t.ok(Number(told['remainingMs']) > 0 && Number(told['remainingMs']) <= DEADLINE_MS, 'grpc-timeout arrived', told);
    t.match(told['error'], /deadline exceeded|canceled/, 'the handler was told');
    t.ok(Number(told['elapsedMs']) < DEADLINE_MS + LATE_MS, 'in time', told);
  });

  t.test('a cancellation by the client reaches the handler', async (t) => {
    // the client keeps its connection until then: the handler must learn it from the stream
    const cancelled = server.told({ event: 'ended', call: 'cancel' });
    const seen = await ask('cancel', { call: 'cancel' }, cancelled);
    t.equal(seen['code'], 'Canceled');
    const told = await cancelled;
    t.equal(told['error'], 'context canceled');
    t.notOk('remainingMs' in told, 'no deadline did it');
  });

  t.test('an abort by the server reaches the client with message and details', async (t) => {
    const seen = await ask('abort');
    t.match(seen, { code: 'Aborted', message: 'the server gave up: 100 % ü', details: ['detail'], messages: 1 });
  });

  t.test('a host that the mesh does not know is UNAVAILABLE', async (t) => {
    const seen = await ask('unary', { address: pair.address, authority: 'nowhere.test' });
    t.equal(seen['code'], 'Unavailable');
    t.match(seen['message'], /\w/);
  });
}

/** How answers look. */
function testAnswers({ ask, server }: GrpcPeers): void {
  t.test('an answer of trailers only stays one', async (t) => {
    const seen = await ask('unary', { status: 9, message: 'not now' });
    t.match(seen, { code: 'FailedPrecondition', message: 'not now' });
    t.equal(seen['header'], null, 'no headers came before the trailers');
  });

  t.test('gzip is passed on as it is, both ways', async (t) => {
    const seen = await ask('unary', { call: 'gzip', gzip: true, request: 100_000, response: 200_000 });
    t.match(seen, { code: 'OK', encoding: 'gzip', responseBytes: 200_000 });
    t.ok(Number(seen['wireBytes']) < 2_000, 'the answer came compressed', seen);
    t.match(await server.told({ event: 'headers', call: 'gzip' }), { encoding: 'gzip' });
    const message = await server.told({ event: 'message', call: 'gzip' });
    t.ok(Number(message['bytes']) > 100_000 && Number(message['wireBytes']) < 2_000, 'so did the request', message);
  });
}

function own(value: unknown): object {
  return typeof value === 'object' && value !== null ? value : {};
}
