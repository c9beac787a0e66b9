import http from 'node:http';
import t from 'tap';
import { WebSocket, WebSocketServer } from 'ws';
import { exchangeBytes } from '../support/raw-http.ts';
import { startPair } from '../support/sidecar-pair.ts';
import { ask, startApp } from '../support/start-app.ts';

t.test('keeps order and case of headers, both ways, and removes those that end at a hop', async (t) => {
  let seen: string[] = [];
  const app = await startApp(t, (request, response) => {
    seen = request.rawHeaders;
    response.writeHead(200, [
      'X-Second',
      '2',
      'X-First',
      '1',
      'Set-Cookie',
      'a=1',
      'Set-Cookie',
      'b=2',
      'Content-Length',
      '2',
    ]);
    response.end('ok');
  });
  const pair = await startPair(t, app.port);
  const headers = [
    'Host',
    'server.test',
    'X-Zebra',
    'z',
    'X-Ant',
    'a',
    'Connection',
    'X-Hop',
    'X-Hop',
    'gone',
    'Keep-Alive',
    'x',
    'X-Ant',
    'again',
  ];
  const answer = await ask(pair.outboundPort, { headers });
  const named = (all: readonly string[], prefix: string) =>
    all.filter((_, index) => index % 2 === 0 && all[index]?.startsWith(prefix));
  t.strictSame(named(seen, 'X-'), ['X-Zebra', 'X-Ant', 'X-Ant'], 'order, case and repetition');
  t.notOk(
    seen.some((name) => name.toLowerCase() === 'x-hop'),
    'what Connection names is not passed on',
  );
  t.strictSame(answer.headers['set-cookie'], ['a=1', 'b=2']);
  t.strictSame(named(answer.rawHeaders, 'X-'), ['X-Second', 'X-First']);
});

t.test('tells the app who calls, and never lets a caller say so itself', async (t) => {
  let seen: http.IncomingHttpHeaders = {};
  const app = await startApp(t, (request, response) => {
    seen = request.headers;
    response.end();
  });
  const pair = await startPair(t, app.port);
  await ask(pair.outboundPort, {
    headers: { 'x-forwarded-client-cert': 'URI=spiffe://cluster.local/ns/test/sa/admin' },
  });
  const forwarded = String(seen['x-forwarded-client-cert']);
  t.match(
    forwarded,
    /^By=spiffe:\/\/cluster\.local\/ns\/test\/sa\/server;Hash=[0-9a-f]{64};URI=spiffe:\/\/cluster\.local\/ns\/test\/sa\/client$/,
  );
});

t.test('continues a trace, and begins one where there is none', async (t) => {
  let seen: http.IncomingHttpHeaders = {};
  const app = await startApp(t, (request, response) => {
    seen = request.headers;
    response.end();
  });
  const pair = await startPair(t, app.port);
  const traceId = '0af7651916cd43dd8448eb211c80319c';
  await ask(pair.outboundPort, { headers: { traceparent: `00-${traceId}-b7ad6b7169203331-00`, tracestate: 'a=b' } });
  t.match(String(seen['traceparent']), new RegExp(`^00-${traceId}-[0-9a-f]{16}-00$`), 'same trace, not sampled');
  t.notMatch(String(seen['traceparent']), /b7ad6b7169203331/, 'another parent: each hop adds its spans');
  t.equal(seen['tracestate'], 'a=b');
  t.match(String(seen['x-request-id']), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}$/);
  await ask(pair.outboundPort, { headers: { traceparent: 'rubbish', 'x-request-id': 'mine' } });
  t.match(String(seen['traceparent']), /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
  t.equal(seen['x-request-id'], 'mine');
});

t.test('streams bodies both ways, with and without a declared length, and passes trailers', async (t) => {
  const app = await startApp(t, (request, response) => {
    response.writeHead(200, { trailer: 'X-Sum' });
    let sum = 0;
    request.on('data', (chunk: Buffer) => {
      sum += chunk.length;
      if (!response.write(chunk)) request.pause();
    });
    response.on('drain', () => request.resume());
    request.on('end', () => {
      response.addTrailers({ 'X-Sum': `${sum} ${request.rawTrailers.join('=')}` });
      response.end();
    });
  });
  const pair = await startPair(t, app.port);
  const body = 'x'.repeat(3_000_000);
  const whole = await ask(pair.outboundPort, { method: 'POST', body });
  t.equal(whole.body.length, body.length);
  t.strictSame(whole.trailers, ['X-Sum', '3000000']);
  const raw = await exchangeBytes(
    pair.outboundPort,
    'POST / HTTP/1.1\r\nHost: server.test\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\nX-T: 7\r\n\r\n',
  );
  t.match(raw, /abc/);
  t.match(raw, /X-Sum: 3 X-T=7/, 'the request trailer arrived, the response trailer came back');
});

t.test('HEAD, 204 and 304 have no body, and the connection can be used again', async (t) => {
  const app = await startApp(t, (request, response) => {
    if (request.url === '/204') response.writeHead(204);
    else if (request.url === '/304') response.writeHead(304, { etag: '"1"', 'content-length': '5' });
    else response.writeHead(200, { 'content-length': '5' });
    response.end(request.url === '/' && request.method === 'GET' ? 'hello' : undefined);
  });
  const pair = await startPair(t, app.port);
  const raw = await exchangeBytes(
    pair.outboundPort,
    'HEAD / HTTP/1.1\r\nHost: server.test\r\n\r\nGET /204 HTTP/1.1\r\nHost: server.test\r\n\r\nGET /304 HTTP/1.1\r\nHost: server.test\r\n\r\nGET / HTTP/1.1\r\nHost: server.test\r\nConnection: close\r\n\r\n',
  );
  t.strictSame(
    [...raw.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((match) => match[1]),
    ['200', '204', '304', '200'],
  );
  t.match(raw, /hello$/);
  t.match(raw, /content-length: 5/i, 'HEAD keeps the length');
});

t.test('answers Expect: 100-continue when the body is wanted, and not when the request is refused', async (t) => {
  const app = await startApp(t, (request, response) => request.pipe(response));
  const denyPost = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: a, namespace: test}
spec: {rules: [{to: [{operation: {paths: [/open]}}]}]}
`;
  const pair = await startPair(t, app.port, denyPost);
  const head = (path: string) =>
    `POST ${path} HTTP/1.1\r\nHost: server.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n`;
  const wanted = await exchangeBytes(pair.outboundPort, `${head('/open')}hello`);
  t.match(wanted, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200/);
  const refused = await exchangeBytes(pair.inboundPort, head('/closed'));
  t.equal(refused, '', 'the inbound port speaks TLS only');
});

t.test('early hints reach the caller before the answer', async (t) => {
  const app = await startApp(t, (_request, response) => {
    response.writeEarlyHints({ link: '</a.css>; rel=preload' });
    response.end('done');
  });
  const pair = await startPair(t, app.port);
  const raw = await exchangeBytes(
    pair.outboundPort,
    'GET / HTTP/1.1\r\nHost: server.test\r\nConnection: close\r\n\r\n',
  );
  t.match(raw, /^HTTP\/1\.1 103 Early Hints\r\n[\s\S]*HTTP\/1\.1 200 OK/);
});

t.test('the head of an event stream does not wait for its first event', async (t) => {
  const app = await startApp(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.flushHeaders();
    setTimeout(() => response.end('data: 1\n\n'), 300);
  });
  const pair = await startPair(t, app.port);
  const { headAt, bodyAt } = await new Promise<{ headAt: number; bodyAt: number }>((resolve, reject) => {
    const request = http.get({ port: pair.outboundPort, host: '127.0.0.1', headers: { host: 'server.test' } });
    request.on('error', reject);
    request.on('response', (response) => {
      const headAt = performance.now();
      response.once('data', () => resolve({ headAt, bodyAt: performance.now() }));
    });
  });
  t.ok(bodyAt - headAt > 200, `head ${Math.round(bodyAt - headAt)} ms before the first event`);
});

t.test('a WebSocket passes through both sidecars; a refused upgrade keeps its answer', async (t) => {
  const app = await startApp(t, (_request, response) => response.end());
  const sockets = new WebSocketServer({ noServer: true });
  app.server.on('upgrade', (request, socket, head) => {
    if (request.url === '/no') {
      socket.end('HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnope');
      return;
    }
    sockets.handleUpgrade(request, socket, head, (client) =>
      client.on('message', (data) => client.send(`echo ${String(data)}`)),
    );
  });
  const pair = await startPair(t, app.port);
  const socket = new WebSocket(`ws://127.0.0.1:${pair.outboundPort}/chat`, { headers: { host: 'server.test' } });
  const reply = await new Promise((resolve, reject) => {
    socket.on('open', () => socket.send('hello'));
    socket.on('message', (data) => resolve(String(data)));
    socket.on('error', reject);
  });
  t.equal(reply, 'echo hello');
  const closed = new Promise((resolve) => socket.on('close', resolve));
  socket.close();
  await closed;
  const refused = new WebSocket(`ws://127.0.0.1:${pair.outboundPort}/no`, { headers: { host: 'server.test' } });
  const status = await new Promise((resolve) => {
    refused.on('unexpected-response', (_request, response) => resolve(response.statusCode));
    refused.on('error', () => {});
  });
  t.equal(status, 401);
  sockets.close();
});

t.test('absolute-form is taken where it agrees with Host', async (t) => {
  const app = await startApp(t, (request, response) => response.end(request.url));
  const pair = await startPair(t, app.port);
  const get = (target: string, host: string) =>
    exchangeBytes(pair.outboundPort, `GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
  t.match(await get('http://server.test/a?b', 'server.test'), /\/a\?b$/);
  t.match(await get('http://server.test/a', 'other.test'), /400 Bad Request[\s\S]*malformed_request/);
});
