import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import net, { type AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { denied, startGrpcProvider } from '../../support/grpc-provider.ts';
import { ALLOW_ANYBODY, readAll, startInbound } from '../../support/inbound-sidecar.ts';

interface Heard {
  readonly line: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** A server of HTTP that keeps what it heard. */
async function startServer(t: Test, answer: (response: ServerResponse) => void) {
  const heard: Heard[] = [];
  const state = { port: 0, heard, answer };
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    heard.push({ line: `${request.method} ${request.url}`, headers: request.headers, body });
    state.answer(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  state.port = (server.address() as AddressInfo).port;
  return state;
}

const asking = (provider: string, outbound = 'RegistryOnly') => `---
apiVersion: lateral.dev/v1alpha1
kind: MeshDefaults
metadata: {name: default, namespace: lateral-system}
spec: {outbound: ${outbound}, extensionProviders: [{name: asked, ${provider}}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask, namespace: test}
spec: {action: CUSTOM, provider: {name: asked}, rules: [{}]}
`;

async function start(t: Test, settings: string) {
  const app = await startServer(t, (response) => response.setHeader('set-cookie', 'app=1').end('reached'));
  const provider = await startServer(t, (response) => response.end());
  const policies = ALLOW_ANYBODY + asking(`envoyExtAuthzHttp: {service: 127.0.0.1, port: ${provider.port}${settings}}`);
  const sidecar = await startInbound(t, app.port, 'http', policies);
  const send = async (request: string) => {
    const caller = await sidecar.connectTls('client');
    caller.write(request.replaceAll('\n', '\r\n'));
    const answer = await readAll(caller);
    return { status: Number(answer.split(' ')[1]), text: answer.toLowerCase() };
  };
  return { app, provider, sidecar, send };
}

const LISTS = `, pathPrefix: /check, includeRequestHeadersInCheck: [x-forwarded-client-cert, x-a*, "*-b"],
  includeAdditionalHeadersInCheck: {x-ask: lateral, x-a-set: here},
  headersToUpstreamOnAllow: [x-user, x-team-*, connection], headersToDownstreamOnAllow: [set-cookie],
  headersToDownstreamOnDeny: [x-why], includeRequestBodyInCheck: {maxRequestBytes: 4, allowPartialMessage: true}`;

t.test('the request is told with chosen headers, and goes on with chosen headers of the answer', async (t) => {
  const { app, provider, send } = await start(t, LISTS);
  provider.answer = (response) => {
    response.setHeader('x-user', 'ann').setHeader('x-team-red', '1').setHeader('x-else', 'no');
    response.setHeader('set-cookie', ['login=1', 'more=2']).end('not looked at');
  };
  const headers = 'x-user: eve\nx-a-one: 1\nx-a-set: caller\nmy-b: 2\nx-other: 3\nauthorization: Basic x\ncookie: c';
  const answer = await send(
    `POST /o/1?q=2 HTTP/1.1\nhost: orders\ncontent-length: 6\nconnection: close\n${headers}\n\n123456`,
  );
  t.equal(answer.status, 200);
  const [heard] = provider.heard;
  t.equal(heard?.line, 'POST /check/o/1?q=2');
  t.equal(heard?.body, '1234');
  t.match(heard?.headers, {
    ...{ host: 'orders', 'x-a-one': '1', 'x-a-set': 'here', 'my-b': '2', 'x-ask': 'lateral', authorization: 'Basic x' },
    ...{ 'content-length': '4', 'x-envoy-auth-partial-body': 'true', 'x-forwarded-client-cert': /sa\/client/ },
  });
  for (const name of ['x-user', 'x-other', 'cookie']) t.equal(heard?.headers[name], undefined, `${name} is not told`);
  const [sent] = app.heard;
  t.match(sent, {
    line: 'POST /o/1?q=2',
    body: '123456',
    headers: { 'x-user': 'ann', 'x-team-red': '1', cookie: 'c' },
  });
  t.equal(sent?.headers['x-else'], undefined);
  t.equal(
    answer.text.match(/set-cookie: [a-z]+=[0-9]/g)?.join(),
    'set-cookie: login=1,set-cookie: more=2',
    'not the app’s',
  );
  t.notMatch(answer.text, /x-user/);
});

t.test('what the provider is told by the sidecar is not what a caller says under the same names', async (t) => {
  const { provider, send } = await start(
    t,
    `, includeRequestHeadersInCheck: [x*], includeAdditionalHeadersInCheck: {x-ask: lateral},
    includeRequestBodyInCheck: {maxRequestBytes: 4, allowPartialMessage: true}`,
  );
  const forged = 'x_ask: forged\nX-Ask: forged\nx-envoy-auth-partial-body: false\nx_envoy_auth_partial_body: false';
  await send(`POST / HTTP/1.1\nhost: a\ncontent-length: 6\nconnection: close\n${forged}\n\n123456`);
  const { headers = {} } = provider.heard[0] ?? {};
  t.match(headers, { 'x-ask': 'lateral', 'x-envoy-auth-partial-body': 'true' });
  for (const name of ['x_ask', 'x_envoy_auth_partial_body']) t.equal(headers[name], undefined, name);
});

t.test('more headers than may be are no answer', async (t) => {
  const { provider, send, sidecar } = await start(t, ', headersToUpstreamOnAllow: [x-*]');
  provider.answer = (response) => response.setHeader('x-many', Array(101).fill('1')).end();
  t.equal((await send('GET / HTTP/1.1\nhost: a\nconnection: close\n\n')).status, 403);
  t.match((await sidecar.log(1))[0]?.reason, /maxChangedHeaders 100/);
});

t.test('a check is sent again where a kept connection was closed under it, and not for ever', async (t) => {
  const app = await startServer(t, (response) => response.end('reached'));
  let checks = 0;
  let answers = 1;
  const provider = net.createServer((socket) => {
    let left = answers;
    socket.on('error', () => {});
    socket.on('data', () => {
      checks++;
      if (left-- > 0) socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
      else socket.destroy();
    });
  });
  await new Promise<void>((resolve) => provider.listen(0, '127.0.0.1', resolve));
  t.teardown(() => provider.close());
  const { port } = provider.address() as AddressInfo;
  const policies = ALLOW_ANYBODY + asking(`envoyExtAuthzHttp: {service: 127.0.0.1, port: ${port}}`);
  const sidecar = await startInbound(t, app.port, 'http', policies);
  const status = async () => {
    const caller = await sidecar.connectTls('client');
    caller.write('GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n');
    return Number((await readAll(caller)).split(' ')[1]);
  };
  t.equal(await status(), 200);
  t.equal(await status(), 200, 'by a new connection');
  t.equal(checks, 3);
  answers = 0;
  t.equal(await status(), 403);
  t.equal(checks, 5, 'the kept one, and one new');
});

t.test('what is not 200 denies, 5xx says nothing', async (t) => {
  const { app, provider, send, sidecar } = await start(t, ', headersToDownstreamOnDeny: [x-why], statusOnError: "500"');
  const get = 'GET / HTTP/1.1\nhost: orders\nconnection: close\n\n';
  provider.answer = (response) =>
    response.writeHead(401, { 'x-why': 'no', 'x-else': '1', 'www-authenticate': 'Basic' }).end('login');
  const refused = await send(get);
  t.equal(refused.status, 401);
  t.match(refused.text, /x-why: no\r\n/);
  t.match(refused.text, /www-authenticate: basic/);
  t.match(refused.text, /login$/);
  t.notMatch(refused.text, /x-else/);
  provider.answer = (response) => response.writeHead(201).end();
  t.equal((await send(get)).status, 201, 'only 200 allows');
  provider.answer = (response) => response.writeHead(503).end();
  t.equal((await send(get)).status, 500);
  provider.answer = (response) => response.destroy();
  t.equal((await send(get)).status, 500);
  t.strictSame(app.heard, []);
  const lines = await sidecar.log(4);
  t.match(
    lines.map(({ code }) => code),
    [
      'authorization_provider_denied',
      'authorization_provider_denied',
      ...Array(2).fill('authorization_provider_unavailable'),
    ],
  );
  t.match(lines[2]?.reason, /answered HTTP 503/);
});

t.test('what is no service of the mesh is not asked over a network', async (t) => {
  const app = await startServer(t, (response) => response.end('reached'));
  const policies = (service: string) => ALLOW_ANYBODY + asking(`envoyExtAuthzGrpc: {service: ${service}, port: 1}`);
  const sidecar = await startInbound(t, app.port, 'http', policies('provider.example'));
  const status = async () => {
    const caller = await sidecar.connectTls('client');
    caller.write('GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n');
    return Number((await readAll(caller)).split(' ')[1]);
  };
  t.equal(await status(), 403);
  t.match((await sidecar.log(1))[0]?.reason, /no service of the mesh is provider\.example:1 /);
  await sidecar.setPolicies(policies('test/127.0.0.1'));
  t.equal(await status(), 403);
  t.match((await sidecar.log(2))[1]?.reason, /no service of the mesh is test\/127\.0\.0\.1:1 /);
});

t.test('a TCP connection is asked about by gRPC, with who calls and nothing else', async (t) => {
  const echo = net.createServer((socket) => socket.pipe(socket));
  await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
  t.teardown(() => echo.close());
  const provider = await startGrpcProvider(t);
  const text =
    ALLOW_ANYBODY +
    asking(`envoyExtAuthzGrpc: {service: "::1", port: 1}`).replace(
      '"::1", port: 1',
      `127.0.0.1, port: ${provider.port}`,
    );
  const sidecar = await startInbound(t, (echo.address() as AddressInfo).port, 'tcp', text);
  const send = async () => {
    const caller = await sidecar.connectTls('client');
    caller.end('hello');
    return readAll(caller);
  };
  t.equal(await send(), 'hello');
  t.match(provider.asked[0]?.attributes, {
    source: { principal: 'spiffe://cluster.local/ns/test/sa/client' },
    request: { http: undefined },
  });
  provider.answer = () => denied(403, {}, 'no');
  t.equal(await send(), '', 'closed without a byte');
  await sidecar.setPolicies(text.replace('envoyExtAuthzGrpc', 'envoyExtAuthzHttp'));
  t.equal(await send(), '');
  t.match(
    (await sidecar.log(3)).map(({ code }) => code),
    ['allowed', 'authorization_provider_denied', 'authorization_provider_unavailable'],
  );
});
