import http from 'node:http';
import net from 'node:net';
import t from 'tap';
import { TestAuthority } from '../support/certificates.ts';
import { freePorts, listen, portOf } from '../support/free-ports.ts';
import { exchangeBytes, exchangeBytesOverTls } from '../support/raw-http.ts';
import { ALLOW_ALL, startPair } from '../support/sidecar-pair.ts';
import { ask, codeOf, startApp } from '../support/start-app.ts';

const GET = 'GET / HTTP/1.1\r\nHost: server.test\r\nConnection: close\r\n\r\n';

t.test('a caller without a good certificate is cut off before HTTP, and the log says why', async (t) => {
  const app = await startApp(t, (_request, response) => response.end('secret'));
  const pair = await startPair(t, app.port);
  const { authority, inboundPort } = pair;
  const hour = 3_600_000;
  const foreign = new TestAuthority('foreign.example');
  const cases = [
    { leaf: undefined, code: 'no_client_certificate' },
    { leaf: foreign.leaf('spiffe://cluster.local/ns/test/sa/client'), code: 'untrusted_issuer' },
    { leaf: authority.leaf('spiffe://other.domain/ns/test/sa/client'), code: 'foreign_trust_domain' },
    {
      leaf: authority.leaf('spiffe://cluster.local/ns/test/sa/client', Date.now() - 2 * hour, hour),
      code: 'certificate_expired',
    },
    {
      leaf: authority.leaf('spiffe://cluster.local/ns/test/sa/client', Date.now() + hour),
      code: 'certificate_not_yet_valid',
    },
    { leaf: authority.leaf('https://cluster.local/ns/test/sa/client'), code: 'invalid_spiffe_id' },
    { leaf: authority.leaf('spiffe://cluster.local/workload'), code: 'invalid_spiffe_id' },
  ];
  for (const { leaf, code } of cases) t.equal(await exchangeBytesOverTls(inboundPort, GET, leaf), '', code);
  t.equal(await exchangeBytes(inboundPort, GET), '', 'plaintext');
  const good = authority.leaf('spiffe://cluster.local/ns/test/sa/client');
  t.match(await exchangeBytesOverTls(inboundPort, GET, good), /200 OK[\s\S]*secret$/);
  const lines = await pair.log('server', cases.length + 2);
  const codes = lines.map((line) => line['code']);
  t.strictSame(
    codes.slice(0, cases.length),
    cases.map(({ code }) => code),
  );
  t.ok(codes.includes('tls_handshake_failed'));
  t.ok(
    lines.every((line) => line['code'] === 'allowed' || (typeof line['reason'] === 'string' && line['status'] === 0)),
  );
});

t.test('a peer that proves another identity is sent no byte of the request', async (t) => {
  let requests = 0;
  const app = await startApp(t, (_request, response) => {
    requests++;
    response.end();
  });
  const [impostorPort = 0] = await freePorts(1);
  const pair = await startPair(
    t,
    app.port,
    `${ALLOW_ALL}---
apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: billing, namespace: test}
spec:
  hosts: [billing.test]
  ports: [{port: 80, protocol: http}]
  endpoints: [{address: 127.0.0.1, port: ${impostorPort}, serviceAccount: billing}]
`,
  );
  const { createServer } = await import('node:tls');
  let received = '';
  const impostor = createServer(
    {
      ...pair.authority.leaf('spiffe://cluster.local/ns/test/sa/server'),
      requestCert: true,
      rejectUnauthorized: false,
    },
    (socket) => {
      socket.on('error', () => {});
      socket.on('data', (chunk) => {
        received += chunk.toString();
      });
    },
  );
  impostor.listen(impostorPort, '127.0.0.1');
  t.teardown(() => impostor.close());
  const answer = await ask(pair.outboundPort, { headers: { host: 'billing.test', authorization: 'Bearer secret' } });
  t.equal(answer.status, 503);
  t.equal(codeOf(answer), 'upstream_identity_mismatch');
  t.equal(received, '');
  t.equal(requests, 0);
  const [line] = await pair.log('client', 1);
  t.match(
    String(line?.['reason']),
    /proved spiffe:\/\/cluster\.local\/ns\/test\/sa\/server, expected spiffe:\/\/cluster\.local\/ns\/test\/sa\/billing/,
  );
});

t.test('a dead app is 503, and another endpoint is taken where there is one', async (t) => {
  const [deadPort = 0] = await freePorts(1);
  const pair = await startPair(t, deadPort);
  const answer = await ask(pair.outboundPort);
  t.equal(answer.status, 503);
  t.equal(codeOf(answer), 'upstream_unavailable');
  t.equal(answer.headers['content-type'], 'application/problem+json');
  t.match(String(answer.headers['lateral-decision']), /^[0-9a-f]{16}$/);
  t.notMatch(answer.body, /ECONNREFUSED|127\.0\.0\.1/, 'the caller learns the code and no more');
});

t.test('an endpoint that cannot be reached is passed over for one that can', async (t) => {
  const app = await startApp(t, (_request, response) => response.end('ok'));
  const [deadPort = 0] = await freePorts(1);
  const pair = await startPair(t, app.port);
  const { writeFile } = await import('node:fs/promises');
  const service = (ports: readonly number[]) => `apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: server, namespace: test}
spec:
  hosts: [server.test]
  ports: [{port: 80, protocol: http}]
  endpoints:
${ports.map((port) => `    - {address: 127.0.0.1, port: ${port}, serviceAccount: server}\n`).join('')}`;
  await writeFile(`${pair.policies}/services.yaml`, service([deadPort, pair.inboundPort]));
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  for (let index = 0; index < 8; index++) t.equal((await ask(pair.outboundPort)).status, 200);
});

t.test(
  'an app that closes without an answer is 503; in the middle of its answer, the caller sees it break off',
  async (t) => {
    const app = await startApp(t, (request, response) => {
      if (request.url === '/none') {
        request.socket.destroy();
        return;
      }
      response.writeHead(200, { 'content-length': '100' });
      response.write('half');
      setTimeout(() => request.socket.destroy(), 50);
    });
    const pair = await startPair(t, app.port);
    t.equal(codeOf(await ask(pair.outboundPort, { path: '/none' })), 'upstream_unavailable');
    await t.rejects(ask(pair.outboundPort, { path: '/half' }), { code: 'ECONNRESET' });
  },
);

t.test('what is not HTTP behind the app port is 502', async (t) => {
  const app = await listen(net.createServer((socket) => socket.end('220 smtp ready\r\n')));
  t.teardown(() => app.close());
  const pair = await startPair(t, portOf(app));
  const answer = await ask(pair.outboundPort);
  t.equal(answer.status, 502);
  t.equal(codeOf(answer), 'upstream_malformed');
});

t.test('unreadable requests get a code, a record and the end of the connection', async (t) => {
  const app = await startApp(t, (_request, response) => response.end());
  const pair = await startPair(t, app.port);
  const cases: [string, RegExp][] = [
    [
      `GET / HTTP/1.1\r\nHost: server.test\r\nX-Big: ${'a'.repeat(70_000)}\r\n\r\n`,
      /^HTTP\/1\.1 431 [\s\S]*"limit":"maxHeaderBytes 61440"/,
    ],
    ['GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', /^HTTP\/1\.1 400 [\s\S]*malformed_request/],
    ['GET / HTTP/1.1\r\n\r\n', /^HTTP\/1\.1 400 [\s\S]*malformed_request/],
    [
      'POST / HTTP/1.1\r\nHost: server.test\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      /^HTTP\/1\.1 400 [\s\S]*ambiguous_framing/,
    ],
    ['GET /a/../b HTTP/1.1\r\nHost: server.test\r\nConnection: close\r\n\r\n', /^HTTP\/1\.1 400 [\s\S]*ambiguous_path/],
    ['GET /a#b HTTP/1.1\r\nHost: server.test\r\nConnection: close\r\n\r\n', /^HTTP\/1\.1 400 [\s\S]*malformed_request/],
    ['rubbish\r\n\r\n', /^HTTP\/1\.1 400 /],
  ];
  for (const [bytes, expected] of cases) t.match(await exchangeBytes(pair.outboundPort, bytes), expected);
  const lines = await pair.log('client', cases.length);
  t.equal(lines.length, cases.length);
  t.ok(lines.every((line) => line['decision'] === 'deny'));
});

t.test('a caller that leaves ends the request at the app', async (t) => {
  const { promise: left, resolve } = Promise.withResolvers<void>();
  const app = await startApp(t, (request) => {
    request.socket.on('close', () => resolve());
  });
  const pair = await startPair(t, app.port);
  const request = http.get({ port: pair.outboundPort, host: '127.0.0.1', headers: { host: 'server.test' } });
  request.on('error', () => {});
  setTimeout(() => request.destroy(), 200);
  await left;
  const [line] = await pair.log('client', 1);
  t.equal(line?.['code'], 'client_gone');
});

t.test('a slow reader holds the app back, and nothing is buffered on the way', async (t) => {
  let written = 0;
  const app = await startApp(t, (_request, response) => {
    const chunk = Buffer.alloc(65_536);
    const go = () => {
      while (written < 400_000_000) {
        written += chunk.length;
        if (!response.write(chunk)) {
          response.once('drain', go);
          return;
        }
      }
      response.end();
    };
    go();
  });
  const pair = await startPair(t, app.port);
  const socket = net.connect(pair.outboundPort, '127.0.0.1');
  socket.write('GET / HTTP/1.1\r\nHost: server.test\r\n\r\n');
  socket.on('readable', () => {});
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  t.ok(written < 40_000_000, `the app could write ${written} bytes`);
  socket.destroy();
});

t.test('drains: a request under way ends well, a new one is not accepted', async (t) => {
  const app = await startApp(t, (_request, response) => {
    setTimeout(() => response.end('late'), 400);
  });
  const pair = await startPair(t, app.port);
  const underWay = ask(pair.outboundPort);
  await new Promise((resolve) => setTimeout(resolve, 100));
  const stopped = pair.client.stop();
  t.equal((await underWay).body, 'late');
  await stopped;
  await t.rejects(ask(pair.outboundPort), { code: 'ECONNREFUSED' });
});

t.test('after many requests and broken ones no socket is left behind', async (t) => {
  const app = await startApp(t, (request, response) => {
    if (request.url === '/die') request.socket.destroy();
    else request.pipe(response);
  });
  const pair = await startPair(t, app.port);
  for (let round = 0; round < 30; round++) {
    await Promise.all([
      ask(pair.outboundPort, { method: 'POST', body: 'x'.repeat(1_000) }),
      ask(pair.outboundPort, { path: '/die' }),
      exchangeBytes(pair.outboundPort, 'POST / HTTP/1.1\r\nHost: server.test\r\nContent-Length: 9\r\n\r\nhalf', 20),
    ]);
  }
  await new Promise((resolve) => setTimeout(resolve, 300));
  const inFlight = /lateral_requests_in_flight (\d+)/.exec(
    await (await fetch(`http://127.0.0.1:${pair.serverMetricsPort}/metrics`)).text(),
  )?.[1];
  t.equal(inFlight, '0');
});
