import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import tls from 'node:tls';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { redactQuery } from '#sidecar/telemetry/redact.ts';
import { DRAIN_TIMEOUT_MS } from '#sidecar/traffic/serve-traffic.ts';
import { listen, portOf } from '../support/free-ports.ts';
import { exchangeBytes } from '../support/raw-http.ts';
import { ALLOW_ALL, startPair } from '../support/sidecar-pair.ts';
import { ask, codeOf, startApp } from '../support/start-app.ts';

const CLOSED = ALLOW_ALL.replace('{rules: [{}]}', '{rules: [{to: [{operation: {paths: ["/open*"]}}]}]}');
const ALLOW_ANY = `${ALLOW_ALL}---
apiVersion: lateral.dev/v1alpha1
kind: MeshDefaults
metadata: {name: default, namespace: lateral-system}
spec: {outbound: AllowAny}
`;

t.test('a caller that never completes its handshake does not hold the sidecar back', async (t) => {
  const app = await startApp(t, (_request, response) => response.end());
  const pair = await startPair(t, app.port);
  const silent = net.connect(pair.inboundPort, '127.0.0.1');
  const halfway = net.connect(pair.inboundPort, '127.0.0.1', () => halfway.write(Buffer.from('160301020001', 'hex')));
  for (const socket of [silent, halfway]) socket.on('error', () => {});
  await new Promise((resolve) => setTimeout(resolve, 100));
  const startedAt = performance.now();
  await pair.server.stop();
  t.ok(performance.now() - startedAt < DRAIN_TIMEOUT_MS + 1_500);
  silent.destroy();
  halfway.destroy();
});

t.test('a start that fails says why in one line and ends with 1', async (t) => {
  const app = await startApp(t, (_request, response) => response.end());
  const pair = await startPair(t, app.port);
  const config = `apiVersion: lateral.dev/v1alpha1
kind: SidecarConfig
workload: {name: client-2, namespace: test, serviceAccount: client}
standalone: {policies: policies, certificate: client.pem, privateKey: client.key, trustBundle: ca.pem}
outbound: {port: ${pair.outboundPort}}
admin: {port: 1}
metrics: {port: ${pair.serverMetricsPort}}
`;
  await writeFile(join(pair.directory, 'second.yaml'), config);
  const lateral = fileURLToPath(new URL('../../bin/lateral.mjs', import.meta.url));
  const child = spawn(process.execPath, [lateral, 'sidecar', '--config', join(pair.directory, 'second.yaml')]);
  let stderr = '';
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  t.equal(await new Promise((resolve) => child.on('close', resolve)), 1);
  t.match(stderr, /^lateral sidecar: cannot open metrics on 127\.0\.0\.1:\d+: .*EADDRINUSE[^\n]*\n$/);
});

t.test('a TLS session that is resumed is good for as long as the certificate it began with', async (t) => {
  const app = await startApp(t, (_request, response) => response.end());
  const pair = await startPair(t, app.port);
  const endsAtMs = Date.now() + 4_000;
  const leaf = pair.authority.leaf('spiffe://cluster.local/ns/test/sa/client', Date.now(), 4_000);
  const connectOnce = (session: Buffer | undefined) =>
    new Promise<{ session: Buffer | undefined; isReused: boolean; answer: string }>((resolve) => {
      const socket = tls.connect({
        port: pair.inboundPort,
        host: '127.0.0.1',
        rejectUnauthorized: false,
        ...leaf,
        ...(session === undefined ? {} : { session }),
      });
      let latest: Buffer | undefined;
      let answer = '';
      socket.on('session', (offered) => {
        latest = offered;
      });
      socket.on('error', () => {}); // 'close' follows
      let isReused = false;
      socket.on('secureConnect', () => {
        isReused = socket.isSessionReused();
        socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
      });
      socket.on('data', (bytes) => {
        answer += bytes;
      });
      socket.on('close', () => resolve({ session: latest, isReused, answer }));
    });
  const first = await connectOnce(undefined);
  t.match(await connectOnce(first.session), { isReused: true, answer: /^HTTP\/1\.1 200/ });
  await sleep(endsAtMs + 1_000 - Date.now());
  t.match(await connectOnce(first.session), { isReused: true, answer: /^$/ });
});

t.test('a refusal reaches a caller in the middle of its upload', async (t) => {
  const app = await startApp(t, (request, response) => request.pipe(response));
  const pair = await startPair(t, app.port, CLOSED);
  const body = Buffer.alloc(3_000_000, 'x');
  for (let round = 0; round < 20; round++) {
    const answer = await ask(pair.outboundPort, { method: 'POST', path: '/closed', body });
    t.equal(answer.status, 403);
  }
});

t.test('an expectation goes to the callee: refused bodies are never sent', async (t) => {
  const app = await startApp(t, (request, response) => request.pipe(response));
  const pair = await startPair(t, app.port, CLOSED);
  const head = (path: string) =>
    `POST ${path} HTTP/1.1\r\nHost: server.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n`;
  const refused = await exchangeBytes(pair.outboundPort, head('/closed'));
  t.match(refused, /^HTTP\/1\.1 403 /, 'no 100 before');
  const wanted = await new Promise<string>((resolve) => {
    let text = '';
    const socket = net.connect(pair.outboundPort, '127.0.0.1', () => socket.write(head('/open')));
    socket.on('data', (chunk) => {
      text += chunk.toString();
      if (text === 'HTTP/1.1 100 Continue\r\n\r\n') socket.write('hello');
    });
    socket.on('close', () => resolve(text));
  });
  t.match(wanted, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK[\s\S]*hello/);
});

t.test('an upgrade to anything but WebSocket is served as a plain request', async (t) => {
  let seen: http.IncomingHttpHeaders = {};
  const app = await startApp(t, (request, response) => {
    seen = request.headers;
    response.end('plain');
  });
  const pair = await startPair(t, app.port);
  const answer = await exchangeBytes(
    pair.outboundPort,
    'GET / HTTP/1.1\r\nHost: server.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n',
  );
  t.match(answer, /^HTTP\/1\.1 200 [\s\S]*plain/);
  t.notOk(seen.upgrade ?? seen['http2-settings']);
});

t.test('what Connection takes away, policy does not see either', async (t) => {
  const byHeader = ALLOW_ALL.replace(
    '{rules: [{}]}',
    '{rules: [{when: [{key: "request.headers[x-team]", values: [red]}]}]}',
  );
  const app = await startApp(t, (_request, response) => response.end());
  const pair = await startPair(t, app.port, byHeader);
  t.equal((await ask(pair.outboundPort, { headers: { 'x-team': 'red' } })).status, 200);
  t.equal((await ask(pair.outboundPort, { headers: { 'x-team': 'red', connection: 'x-team' } })).status, 403);
});

t.test('a trailer cannot say what only a sidecar may say', async (t) => {
  let trailers: readonly string[] = [];
  const app = await startApp(t, (request, response) => {
    request.resume();
    request.on('end', () => {
      trailers = request.rawTrailers;
      response.end();
    });
  });
  const pair = await startPair(t, app.port);
  const chunked = (trailer: string) =>
    `POST / HTTP/1.1\r\nHost: server.test\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n1\r\na\r\n0\r\n${trailer}\r\n\r\n`;
  await exchangeBytes(pair.outboundPort, chunked('X-Forwarded-Client-Cert: URI=evil\r\nX-Sum: 1\r\ntraceparent: x'));
  t.strictSame(trailers, ['X-Sum', '1']);
  t.match(await exchangeBytes(pair.outboundPort, chunked('Authorization: Bearer x')), /^HTTP\/1\.1 400 /);
});

t.test('AllowAny does not come back to the sidecar, however its address is written', async (t) => {
  const app = await startApp(t, (_request, response) => response.end());
  const pair = await startPair(t, app.port, ALLOW_ANY);
  for (const host of ['127.0.0.1', '127.1', '0.0.0.0', '2130706433', 'LOCALHOST', 'localhost']) {
    const answer = await ask(pair.outboundPort, { headers: { host: `${host}:${pair.outboundPort}` } });
    t.equal(codeOf(answer), 'loop_detected', host);
  }
});

t.test('bytes behind a request do not disturb its answer', async (t) => {
  const app = await startApp(t, (_request, response) => {
    setTimeout(() => response.end('first'), 100);
  });
  const pair = await startPair(t, app.port);
  const answer = await exchangeBytes(pair.outboundPort, 'GET / HTTP/1.1\r\nHost: server.test\r\n\r\nGARBAGE\r\n\r\n');
  t.match(answer, /^HTTP\/1\.1 200 OK[\s\S]*firstHTTP\/1\.1 400 /);
});

t.test('a request is repeated only when a kept connection was closed under it', async (t) => {
  let count = 0;
  let isFresh = true;
  const app = await listen(
    net.createServer((socket) => {
      socket.on('error', () => {});
      let served = 0;
      socket.on('data', () => {
        count++;
        served++;
        if (isFresh || served > 1) socket.destroy();
        else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
      });
    }),
  );
  t.teardown(() => app.close());
  const pair = await startPair(t, portOf(app));
  t.equal((await ask(pair.outboundPort, { method: 'DELETE' })).status, 503);
  t.equal(count, 1, 'a fresh connection: once');
  isFresh = false;
  t.equal((await ask(pair.outboundPort)).status, 200);
  t.equal((await ask(pair.outboundPort)).status, 200, 'the kept connection was closed; another was taken');
  t.equal(count, 4);
  t.equal((await ask(pair.outboundPort, { method: 'POST' })).status, 503, 'a POST may have been carried out');
});

t.test('a web page cannot operate a sidecar', async (t) => {
  const app = await startApp(t, (_request, response) => response.end());
  const pair = await startPair(t, app.port);
  const post = (headers: http.OutgoingHttpHeaders) =>
    new Promise<number | undefined>((resolve, reject) => {
      const request = http.request({
        host: '127.0.0.1',
        port: pair.clientAdminPort,
        method: 'POST',
        path: '/drain',
        headers,
      });
      request.on('response', (response) => resolve(response.resume().statusCode));
      request.on('error', reject);
      request.end();
    });
  t.equal(await post({ origin: 'http://evil.example' }), 403);
  t.equal(await post({ 'sec-fetch-site': 'cross-site' }), 403);
  t.equal(await post({}), 202);
});

t.test('secrets in queries are redacted by name and by look', async (t) => {
  const secret = [
    'auth_token',
    'access-key-id',
    'sessionToken',
    'user[password]',
    'X-Amz-Signature',
    'bearer',
    'client_assertion',
    'otp',
    'cvv',
    'code',
    'sid',
  ];
  for (const name of secret) t.equal(redactQuery(`${name}=v&a=1`), `${name}=[redacted]&a=1`, name);
  const values = [
    '4111%201111%201111%201111',
    'Bearer%20abc',
    'x.eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc',
    'a%40b.example',
  ];
  for (const value of values) t.equal(redactQuery(`h=${value}`), 'h=[redacted]', value);
  for (const plain of ['page=2', 'pinned=yes', 'sort=key_asc', 'q=hello+world', 'encode=1', 'zip=12345'])
    t.equal(redactQuery(plain), plain);
});
