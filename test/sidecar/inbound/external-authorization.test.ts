import { createServer, type IncomingMessage } from 'node:http';
import net, { type AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import {
  ALLOWED,
  allowed,
  denied,
  type GrpcProvider,
  options,
  startGrpcProvider,
} from '../../support/grpc-provider.ts';
import { ALLOW_ANYBODY, readAll, startInbound } from '../../support/inbound-sidecar.ts';

interface Seen {
  readonly request: IncomingMessage;
  readonly body: string;
}

/** An app that says what it was sent, and how often. */
async function startApp(t: Test) {
  const seen: Seen[] = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    seen.push({ request, body });
    response.setHeader('x-app', 'yes').end('reached');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  return { port: (server.address() as AddressInfo).port, seen };
}

const defaults = (port: number, more = '', mode = 'Enforce') => `---
apiVersion: lateral.dev/v1alpha1
kind: MeshDefaults
metadata: {name: default, namespace: lateral-system}
spec:
  mode: ${mode}
  extensionProviders:
  - name: asked
    envoyExtAuthzGrpc: {service: 127.0.0.1, port: ${port}${more}}
`;

const CUSTOM = `---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask, namespace: test}
spec:
  action: CUSTOM
  provider: {name: asked}
  rules: [{to: [{operation: {paths: [/asked*]}}]}]
`;

/** A sidecar that asks a provider about /asked; `more`: settings of the provider. */
async function start(t: Test, more = '', policies = ALLOW_ANYBODY, mode = 'Enforce') {
  const [app, provider] = await Promise.all([startApp(t), startGrpcProvider(t)]);
  const text = policies + defaults(provider.port, more, mode) + CUSTOM;
  const sidecar = await startInbound(t, app.port, 'http', text);
  const send = async (path: string, headers = '', method = 'GET', body = '') => {
    const caller = await sidecar.connectTls('client', { servername: 'server.test' });
    const length = body === '' ? '' : `content-length: ${body.length}\r\n`;
    const text = `${method} ${path} HTTP/1.1\r\nhost: orders.test\r\nconnection: close\r\n${length}${headers}\r\n${body}`;
    caller.write(text, 'latin1');
    const answer = await readAll(caller);
    const [head = '', ...rest] = answer.split('\r\n\r\n');
    return { status: Number(head.split(' ')[1]), head: head.toLowerCase(), body: rest.join('\r\n\r\n') };
  };
  return { app, provider, sidecar, send };
}

t.test('the provider is asked where a rule says so, and told who calls whom and how', async (t) => {
  const { app, provider, send, sidecar } = await start(t);
  t.equal((await send('/other')).status, 200);
  t.strictSame(provider.asked, [], 'no rule matched');
  t.equal(
    (await send('/asked/1?a=b&c', 'X-Team: red\r\nx-team: blue\r\nx-forwarded-client-cert: forged\r\n')).status,
    200,
  );
  const [{ attributes } = { attributes: undefined }] = provider.asked;
  t.match(attributes?.source, { principal: 'spiffe://cluster.local/ns/test/sa/client' });
  t.match(attributes?.source?.address?.socketAddress, { address: '127.0.0.1', portValue: Number });
  t.match(attributes?.destination, { principal: 'spiffe://cluster.local/ns/test/sa/server' });
  t.equal(attributes?.destination?.address?.socketAddress?.portValue, app.port, 'the port of the app');
  t.strictSame(attributes?.tlsSession, { sni: 'server.test' });
  const http = attributes?.request?.http;
  t.match(http, {
    ...{ method: 'GET', path: '/asked/1?a=b&c', host: 'orders.test', scheme: 'https', protocol: 'HTTP/1.1' },
    ...{ size: 0, body: '' },
  });
  t.equal(http?.headers['x-team'], 'red,blue', 'values of one name together');
  t.match(http?.headers['x-forwarded-client-cert'], /^By=.*sa\/server;Hash=[0-9a-f]{64};URI=.*sa\/client$/);
  const now = attributes?.request?.time?.seconds ?? 0;
  t.ok(Math.abs(now - Date.now() / 1_000) < 60, 'the time of the request');
  const [, line] = await sidecar.log(2);
  t.match(line, { decision: 'allow', providers: 'asked: allowed, grpc 0', policy: 'test/allow-anybody' });
  t.match(line?.stages, { consult: Number });
});

t.test('what the provider refuses is refused as it says', async (t) => {
  const { app, provider, send, sidecar } = await start(t);
  provider.answer = () =>
    denied(302, { location: 'https://login.test/', 'x-why': 'no', connection: 'close, x-why' }, 'go');
  const answer = await send('/asked');
  t.equal(answer.status, 302);
  t.match(answer.head, /\r\nlocation: https:\/\/login\.test\/\r\n/);
  t.match(answer.head, /\r\nx-why: no\r\n/);
  t.match(answer.head, /\r\nlateral-decision: [0-9a-f]{16}/);
  t.equal(answer.body, 'go');
  provider.answer = () => ({ status: { code: 7 }, httpResponse: undefined });
  const bare = await send('/asked');
  t.equal(bare.status, 403);
  t.equal(bare.body, '');
  t.strictSame(app.seen, []);
  const [line] = await sidecar.log(2);
  t.match(line, {
    ...{ decision: 'deny', code: 'authorization_provider_denied', policy: 'test/ask', rule: 0, status: 302 },
    reason: 'provider asked, by rule 0 of CUSTOM policy test/ask, denied: grpc 7, HTTP 302',
  });
  t.match(await sidecar.metrics(), /lateral_authorization_checks_total\{provider="asked",result="denied"\} 2\n/);
});

t.test('who switches to WebSocket is told what others are', async (t) => {
  const app = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () =>
      socket.end(
        'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nlateral-decision: forged\r\nx-app: yes\r\n\r\n',
      ),
    );
  });
  await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve));
  t.teardown(() => app.close());
  const provider = await startGrpcProvider(t);
  provider.answer = () => {
    const answer = allowed();
    if (answer.httpResponse?.$case === 'okResponse')
      answer.httpResponse.value.responseHeadersToAdd.push(...options({ 'set-cookie': 'login=1', upgrade: 'h2c' }));
    return answer;
  };
  const { port } = app.address() as AddressInfo;
  const sidecar = await startInbound(t, port, 'http', ALLOW_ANYBODY + defaults(provider.port) + CUSTOM);
  const caller = await sidecar.connectTls('client');
  const upgrade =
    'connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==';
  caller.write(`GET /asked HTTP/1.1\r\nhost: a\r\n${upgrade}\r\n\r\n`);
  const answer = (await readAll(caller)).toLowerCase();
  caller.destroy();
  t.match(answer, /^http\/1\.1 101 /);
  t.match(answer, /\r\nx-app: yes\r\n/);
  t.match(answer, /\r\nset-cookie: login=1\r\n/);
  t.notMatch(answer, /h2c|forged/);
});

t.test('a call of gRPC is refused by a gRPC status', async (t) => {
  const { provider, send } = await start(t);
  for (const [status, grpcStatus] of [
    [401, 16],
    [403, 7],
    [429, 14],
    [302, 2],
  ] as const) {
    provider.answer = () => denied(status, {}, 'secret');
    const { head, body } = await send('/asked', 'content-type: application/grpc\r\n', 'POST');
    t.match(head, new RegExp(`grpc-status: ${grpcStatus}\r\n`), `${status}`);
    t.notMatch(body, /secret/);
  }
});

t.test('headers and query go on as the provider changed them, and rules see the change', async (t) => {
  const byHeader = ALLOW_ANYBODY.replace('[{}]', '[{when: [{key: "request.headers[x-user]", values: [ann]}]}]');
  const { app, provider, send } = await start(t, '', byHeader);
  provider.answer = () =>
    allowed({ 'x-user': 'ann', host: 'evil.test', 'x-forwarded-client-cert': 'forged', ':path': '/x' });
  t.equal((await send('/asked', 'x-user: eve\r\nx_user: eve\r\n')).status, 200);
  const sent = app.seen[0]?.request;
  t.equal(sent?.headers['x-user'], 'ann');
  t.equal(sent?.headers['x_user'], undefined, 'nor what an app may take for it');
  t.equal(sent?.headers.host, 'orders.test');
  t.match(sent?.headers['x-forwarded-client-cert'], /URI=/);
  t.equal(sent?.url, '/asked');
  provider.answer = () => ALLOWED;
  t.equal((await send('/asked', 'x-user: eve\r\n')).status, 403);
  t.equal((await send('/asked')).status, 403);
  provider.answer = () => {
    const answer = allowed({ 'x-user': 'ann' });
    if (answer.httpResponse?.$case !== 'okResponse') return answer;
    const { value } = answer.httpResponse;
    value.headers.push({
      header: { key: 'x-list', value: 'two', rawValue: Buffer.alloc(0) },
      append: { value: true },
      appendAction: 0,
    });
    value.headersToRemove.push('x-secret', 'host');
    value.queryParametersToSet.push({ key: 'a', value: '2' });
    value.queryParametersToRemove.push('b');
    value.responseHeadersToAdd.push(...options({ 'x-app': 'changed', 'x-told': 'yes' }));
    return answer;
  };
  const answer = await send('/asked?a=1&b=1&%62=2&c=3', 'x-list: one\r\nx-secret: s\r\n');
  t.equal(answer.status, 200);
  t.match(answer.head, /\r\nx-told: yes/);
  t.match(answer.head, /\r\nx-app: changed/);
  t.notMatch(answer.head, /x-app: yes/);
  const changed = app.seen[1]?.request;
  t.equal(changed?.url, '/asked?c=3&a=2');
  t.equal(changed?.headers['x-list'], 'one, two');
  t.equal(changed?.headers['x-secret'], undefined);
  t.equal(changed?.headers.host, 'orders.test');
});

const faults: readonly [string, GrpcProvider['answer'], RegExp][] = [
  ['an error of gRPC', () => Object.assign(new Error('x'), { code: 13 }), /grpc-status 13/],
  ['no answer in time', () => 'never', /no whole answer within timeout 300 ms/],
  ['what is no message', () => Buffer.from('ffff', 'hex'), /no CheckResponse/],
  ['an empty message', () => Buffer.alloc(0), /the answer is empty/],
  ['a header with a line break', () => allowed({ 'x-a': 'b\r\nx-admin: yes' }), /control characters/],
  ['a header without a name', () => allowed({ 'x a': 'b' }), /no token/],
  [
    'more parameters than may be',
    () => {
      const answer = allowed();
      const removed = Array.from({ length: 101 }, (_, index) => `p${index}`);
      if (answer.httpResponse?.$case === 'okResponse')
        answer.httpResponse.value.queryParametersToRemove.push(...removed);
      return answer;
    },
    /maxChangedParameters 100/,
  ],
  ['a status that no response has', () => denied(99), /status 99/],
  ['an answer without end', () => denied(403, {}, 'x'.repeat(300_000)), /maxAnswerBytes 262144/],
  [
    'more headers than may be',
    () => allowed(Object.fromEntries(Array.from({ length: 101 }, (_, index) => [`x-${index}`, '']))),
    /maxChangedHeaders 100/,
  ],
];

t.test('a provider that says nothing, or nothing that can be understood, refuses', async (t) => {
  const { app, provider, send, sidecar } = await start(t, ', timeout: 300ms, statusOnError: "503"');
  for (const [index, [title, answer, reason]] of faults.entries()) {
    provider.answer = answer;
    const { status, body } = await send('/asked');
    t.equal(status, 503, title);
    t.match(JSON.parse(body), { status: 503, code: 'authorization_provider_unavailable', title: 'Forbidden' });
    const line = (await sidecar.log(index + 1))[index];
    t.match(line, { code: 'authorization_provider_unavailable', policy: 'test/ask', status: 503 });
    t.match(line?.reason, reason, title);
  }
  t.strictSame(app.seen, []);
});

t.test('one that fails open lets pass, and it is recorded', async (t) => {
  const { app, provider, send, sidecar } = await start(t, ', failOpen: true, timeout: 300ms');
  provider.answer = () => 'never';
  t.equal((await send('/asked')).status, 200);
  provider.answer = () => denied(403);
  t.equal((await send('/asked')).status, 403, 'what it denies stays denied');
  t.equal(app.seen.length, 1);
  const [line] = await sidecar.log(2);
  t.match(line, { decision: 'allow', providers: /^asked: failed, let pass: no whole answer/ });
});

t.test('while a provider hangs, others are served', async (t) => {
  const { provider, send } = await start(t, ', timeout: 20s');
  const first = Promise.withResolvers<void>();
  provider.answer = () => {
    first.resolve();
    return 'never';
  };
  const hanging = send('/asked').catch(() => undefined);
  await first.promise;
  t.equal((await send('/other')).status, 200);
  provider.answer = () => ALLOWED;
  t.equal((await send('/asked')).status, 200);
  hanging.finally(() => {});
});

t.test('in Audit mode nothing is refused', async (t) => {
  const { provider, send, sidecar } = await start(t, '', ALLOW_ANYBODY, 'Audit');
  provider.answer = () => denied(401);
  t.equal((await send('/asked')).status, 200);
  t.match((await sidecar.log(1))[0], { decision: 'audit', code: 'authorization_provider_denied', policy: 'test/ask' });
});

const BODY = ', includeRequestBodyInCheck: {maxRequestBytes: 8';

t.test('the body is told where the provider is to know it, and goes on; a longer one is refused', async (t) => {
  const whole = await start(t, `${BODY}}`);
  t.equal((await whole.send('/asked', '', 'POST', '12345678')).status, 200);
  t.match(whole.provider.asked[0]?.attributes?.request?.http, {
    ...{ body: '12345678', size: 8 },
    headers: { 'x-envoy-auth-partial-body': 'false' },
  });
  t.equal(whole.app.seen[0]?.body, '12345678');
  const tooLong = await whole.send('/asked', '', 'POST', '123456789');
  t.equal(tooLong.status, 413);
  t.equal(JSON.parse(tooLong.body).limit, 'maxRequestBytes 8');
  t.equal(whole.provider.asked.length, 1);
  t.match((await whole.sidecar.log(2))[0], { bytesIn: 8, status: 200 });
});

t.test(
  'what is no UTF-8 is told in no more bytes than it has: its length would be a way past a server’s limit',
  async (t) => {
    const { provider, send } = await start(
      t,
      ', includeRequestBodyInCheck: {maxRequestBytes: 6, allowPartialMessage: true}',
    );
    await send('/asked', 'x-odd: \xff\xfe\r\n', 'POST', 'ab\xff\xc3');
    const http = provider.asked[0]?.attributes?.request?.http;
    t.equal(http?.body, 'ab!!', 'as Envoy does');
    t.equal(http?.headers['x-odd'], '!!');
    await send('/asked', '', 'POST', 'abcde\xc3\xa9');
    t.equal(provider.asked[1]?.attributes?.request?.http?.body, 'abcde!', 'cut within a character');
  },
);

t.test('the provider is told the very target that goes on, and no word of the caller for its own', async (t) => {
  const { app, provider, send } = await start(t);
  await send('/asked?', 'X_Envoy-Auth-Partial-Body: false\r\nx-envoy-auth-partial-body: false\r\n');
  const http = provider.asked[0]?.attributes?.request?.http;
  t.equal(http?.path, '/asked?');
  t.equal(app.seen[0]?.request.url, '/asked?');
  t.strictSame(
    Object.keys(http?.headers ?? {}).filter((name) => name.includes('partial')),
    [],
  );
});

t.test('a part of a body is told where that is enough, and all of it goes on', async (t) => {
  const part = await start(t, `${BODY}, allowPartialMessage: true, packAsBytes: true}`);
  const long = '123456789'.repeat(10_000);
  t.equal((await part.send('/asked', '', 'POST', long)).status, 200);
  const http = part.provider.asked[0]?.attributes?.request?.http;
  t.equal(http?.rawBody.toString(), '12345678');
  t.equal(http?.body, '');
  t.equal(http?.headers['x-envoy-auth-partial-body'], 'true');
  t.equal(part.app.seen[0]?.body, long);
});
