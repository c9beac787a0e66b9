import net from 'node:net';
import t, { type Test } from 'tap';
import { compileWorkloadPolicy } from '#policy/compile-workload-policy.ts';
import { loadResources } from '#policy/load-resources.ts';
import { selectSnapshot } from '#policy/snapshot/select-snapshot.ts';
import { generateValidators } from '#policy/validation/generate-validators.ts';
import { TokenVerification } from '#sidecar/authentication/token-verification.ts';
import { Providers } from '#sidecar/authorization/providers.ts';
import { answerOf } from '#sidecar/exchange/refuse.ts';
import { STALL_LIMITS_MS, StallWatch } from '#sidecar/exchange/stall-watch.ts';
import { AppUpstream } from '#sidecar/http/app-upstream.ts';
import { Http1Upstream } from '#sidecar/http/h1/upstream.ts';
import { serveInbound } from '#sidecar/inbound/inbound.ts';
import { plainHttpLane } from '#sidecar/listener/lane.ts';
import { Listener } from '#sidecar/listener/listener.ts';
import { PeerPools } from '#sidecar/outbound/peer-pools.ts';
import { compact } from '../../policy/authentication/tokens.ts';
import { listen, portOf } from '../../support/free-ports.ts';
import { startGrpcProvider } from '../../support/grpc-provider.ts';
import { NO_PROVIDERS } from '../../support/no-providers.ts';
import { exchangeBytes } from '../../support/raw-http.ts';
import { ALLOW_ALL } from '../../support/sidecar-pair.ts';

const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };
const WORKLOAD = { name: 'server', namespace: 'test', serviceAccount: 'server', labels: {} };
const LIMIT_MS = 300;

/** The inbound pipeline on a plaintext port before `app`, with short limits; what ended the exchange is recorded. */
async function shortTempered(
  t: Test,
  app: net.Server,
  { text = ALLOW_ALL, providers = NO_PROVIDERS, tokens = new TokenVerification(undefined) } = {},
): Promise<{ port: number; codes: string[] }> {
  const { resources } = loadResources([{ path: 'a.yaml', text }], () => undefined, MESH);
  const policy = await compileWorkloadPolicy(
    selectSnapshot(resources, WORKLOAD, MESH),
    WORKLOAD,
    MESH,
    generateValidators,
    undefined,
    tokens.open,
  );
  const limits = {
    ...STALL_LIMITS_MS,
    'caller-body': LIMIT_MS,
    'upstream-head': LIMIT_MS,
    'upstream-body': LIMIT_MS,
    'caller-drain': LIMIT_MS,
  };
  const watch = new StallWatch(limits, 50);
  const upstream = new Http1Upstream('127.0.0.1', portOf(app), undefined);
  const codes: string[] = [];
  const server = new Listener(
    plainHttpLane({
      onRequest: (request) =>
        void serveInbound(request, {
          policy: () => policy,
          app: { address: '127.0.0.1', port: portOf(app) },
          upstream,
          ownIdentity: 'spiffe://cluster.local/ns/test/sa/server',
          providers,
          sampleRatio: 0,
          watch,
          recorders: [{ record: (exchange) => codes.push(exchange.code) }],
        }),
      onUnreadable: (_caller, refusal) => answerOf(refusal, 'x', false),
    }),
  );
  const port = await server.open(0, '127.0.0.1');
  t.teardown(() => {
    server.destroy();
    upstream.close();
    watch.close();
    app.close();
  });
  return { port, codes };
}

function rawApp(handle: (socket: net.Socket) => void): Promise<net.Server> {
  return listen(
    net.createServer((socket) => {
      socket.on('error', () => {});
      handle(socket);
    }),
  );
}

t.test('an app that never answers: 504', async (t) => {
  const { port, codes } = await shortTempered(t, await rawApp((socket) => socket.resume()));
  t.match(
    await exchangeBytes(port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', 2_000),
    /^HTTP\/1\.1 504 [\s\S]*upstream_timeout/,
  );
  t.strictSame(codes, ['upstream_timeout']);
});

t.test('an app that stops in its answer: the connection ends', async (t) => {
  const app = await rawApp((socket) =>
    socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf')),
  );
  const { port, codes } = await shortTempered(t, app);
  t.match(await exchangeBytes(port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', 5_000), /half$/);
  t.strictSame(codes, ['upstream_timeout']);
});

t.test('a caller that stops in its body: 408', async (t) => {
  const { port, codes } = await shortTempered(t, await rawApp((socket) => socket.resume()));
  const answer = await exchangeBytes(port, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf', 5_000);
  t.match(answer, /^HTTP\/1\.1 408 [\s\S]*request_timeout/);
  t.strictSame(codes, ['request_timeout']);
});

t.test('while a provider is asked, nobody waits for the caller', async (t) => {
  const provider = await startGrpcProvider(t);
  provider.answer = () => 'never';
  const text = `${ALLOW_ALL}---
apiVersion: lateral.dev/v1alpha1
kind: MeshDefaults
metadata: {name: default, namespace: lateral-system}
spec:
  extensionProviders:
  - name: slow
    envoyExtAuthzGrpc: {service: 127.0.0.1, port: ${provider.port}, timeout: 1500ms}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask, namespace: test}
spec: {action: CUSTOM, provider: {name: slow}, rules: [{}]}
`;
  const pools = new PeerPools(
    (address, port) => new AppUpstream(address, port, 'http'),
    () => undefined,
  );
  t.teardown(() => pools.close());
  const app = await rawApp((socket) => socket.resume());
  const { port, codes } = await shortTempered(t, app, { text, providers: new Providers(() => pools) });
  await exchangeBytes(port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', 4_000);
  t.strictSame(codes, ['authorization_provider_unavailable']);
});

t.test('nor while the keys of an issuer are waited for', async (t) => {
  const silent = await rawApp((socket) => socket.resume());
  t.teardown(() => silent.close());
  const text = `${ALLOW_ALL}---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens, namespace: test}
spec: {jwtRules: [{issuer: i, jwksUri: "http://127.0.0.1:${portOf(silent)}/", timeout: 1500ms}]}
`;
  const app = await rawApp((socket) => socket.resume());
  const tokens = new TokenVerification(undefined);
  t.teardown(() => tokens.close());
  const { port, codes } = await shortTempered(t, app, { text, tokens });
  const token = compact({ alg: 'ES256', kid: 'k1' }, { iss: 'i', sub: 'ann', exp: 9_999_999_999 });
  await exchangeBytes(port, `GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${token}\r\n\r\n`, 4_000);
  t.strictSame(codes, ['issuer_keys_unavailable']);
});

t.test('a caller that does not read its answer is let go', async (t) => {
  const app = await rawApp((socket) => {
    socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n');
      const chunk = Buffer.alloc(65_536);
      const go = () => {
        while (socket.writable && socket.write(chunk));
        socket.once('drain', go);
      };
      go();
    });
  });
  const { port, codes } = await shortTempered(t, app);
  const caller = net.connect(port, '127.0.0.1');
  caller.on('error', () => {});
  caller.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  caller.pause();
  const deadline = Date.now() + 5_000;
  while (codes.length === 0 && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 50));
  t.strictSame(codes, ['client_gone']);
  caller.destroy();
});
