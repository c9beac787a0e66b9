import net from 'node:net';
import t from 'tap';
import { WebSocket, WebSocketServer } from 'ws';
import { freePorts, listen, portOf } from '../support/free-ports.ts';
import { exchangeBytes } from '../support/raw-http.ts';
import { ALLOW_ALL, startPair } from '../support/sidecar-pair.ts';
import { ask, startApp } from '../support/start-app.ts';

const VALIDATED = `${ALLOW_ALL}---
apiVersion: lateral.dev/v1alpha1
kind: APISchema
metadata: {name: api, namespace: test}
spec:
  openapi:
    inline:
      openapi: 3.1.0
      info: {title: a, version: "1"}
      paths:
        /:
          post:
            requestBody: {content: {application/json: {schema: {type: array}}}}
            responses: {"200": {description: ok}}
---
apiVersion: lateral.dev/v1alpha1
kind: APIValidationPolicy
metadata: {name: api, namespace: test}
spec: {selector: {matchLabels: {app: server}}, schemaRefs: [api], mode: MODE, limits: {bodyBytes: 1024}}
`;

t.test('surplus bytes behind an answer never become the answer to somebody else', async (t) => {
  const poison = 'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned';
  const app = await listen(
    net.createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', (bytes) => {
        for (const line of bytes.toString('latin1').matchAll(/^(HEAD|GET) /gm)) {
          // a body behind the answer to HEAD: wrong, and seen in the wild
          socket.write(
            line[1] === 'HEAD'
              ? `HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n${poison}`
              : 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood',
          );
        }
      });
    }),
  );
  t.teardown(() => app.close());
  const pair = await startPair(t, portOf(app));
  for (let round = 0; round < 8; round++) {
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, index) => ask(pair.outboundPort, { method: index % 2 === 0 ? 'HEAD' : 'GET' })),
    );
    t.notOk(answers.some(({ body }) => body.includes('poisoned')));
  }
});

t.test('a chunked body over the limit is passed on whole in Audit', async (t) => {
  const app = await startApp(t, (request, response) => {
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
    });
    request.on('end', () => response.end(String(size)));
  });
  const body = JSON.stringify(['x'.repeat(3_000)]);
  const bytes = `POST / HTTP/1.1\r\nHost: server.test\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
  const audit = await startPair(t, app.port, VALIDATED.replace('MODE', 'Audit'));
  t.match(await exchangeBytes(audit.outboundPort, bytes), new RegExp(`^HTTP/1\\.1 200 [\\s\\S]*${body.length}`));
});

t.test('a chunked body over the limit is refused in Enforce', async (t) => {
  const app = await startApp(t, (request, response) => request.pipe(response));
  const body = JSON.stringify(['x'.repeat(3_000)]);
  const bytes = `POST / HTTP/1.1\r\nHost: server.test\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
  const enforce = await startPair(t, app.port, VALIDATED.replace('MODE', 'Enforce'));
  t.match(await exchangeBytes(enforce.outboundPort, bytes), /^HTTP\/1\.1 413 [\s\S]*"limit":/);
});

t.test('a caller that leaves in a body that is being read is recorded as gone', async (t) => {
  const app = await startApp(t, (_request, response) => response.end());
  const pair = await startPair(t, app.port, VALIDATED.replace('MODE', 'Enforce'));
  const socket = net.connect(pair.outboundPort, '127.0.0.1', () => {
    socket.write(
      'POST / HTTP/1.1\r\nHost: server.test\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n[1,2',
    );
    setTimeout(() => socket.resetAndDestroy(), 150);
  });
  const [line] = await pair.log('server', 1);
  t.match(line, { code: 'client_gone', decision: 'allow' });
});

t.test('pipelined requests are answered in order, also behind one that was refused at once', async (t) => {
  const app = await startApp(t, (request, response) => response.end(request.url));
  const pair = await startPair(t, app.port);
  const get = (path: string, host = 'server.test') => `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
  const bytes = `${get('/1', 'nosuch')}${get('/2')}${get('/x/../y')}\r\n${get('/3')}${get('/4', 'nosuch')}${get('/5')}`;
  const raw = await exchangeBytes(pair.outboundPort, bytes);
  const statuses = [...raw.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((match) => match[1]);
  t.strictSame(statuses, ['502', '200', '400', '200', '502', '200']);
});

t.test('an empty line behind a request is no beginning of another', async (t) => {
  const app = await startApp(t, (_request, response) => response.end('ok'));
  const pair = await startPair(t, app.port);
  const raw = await new Promise<string>((resolve) => {
    let text = '';
    const socket = net.connect(pair.outboundPort, '127.0.0.1', () =>
      socket.write('GET /1 HTTP/1.1\r\nHost: server.test\r\n\r\n\r\n'),
    );
    socket.on('data', (chunk) => {
      text += chunk.toString();
    });
    socket.on('close', () => resolve(text));
    setTimeout(() => socket.write('GET /2 HTTP/1.1\r\nHost: server.test\r\nConnection: close\r\n\r\n'), 200);
  });
  t.equal(raw.match(/HTTP\/1\.1 200 OK/g)?.length, 2);
});

t.test(
  'an answer that breaks off does not look complete to a caller that knows its end by the connection',
  async (t) => {
    const app = await startApp(t, (request, response) => {
      response.write('hello');
      setTimeout(() => request.socket.destroy(), 50);
    });
    const pair = await startPair(t, app.port);
    const error = await new Promise<string>((resolve) => {
      const socket = net.connect(pair.outboundPort, '127.0.0.1', () =>
        socket.write('GET / HTTP/1.0\r\nHost: server.test\r\n\r\n'),
      );
      socket.resume();
      socket.on('error', (reason: NodeJS.ErrnoException) => resolve(reason.code ?? ''));
      socket.on('end', () => resolve('a clean end'));
    });
    t.equal(error, 'ECONNRESET');
  },
);

t.test('a slow reader gets all of an answer after which the connection closes', async (t) => {
  const size = 3_000_000;
  const app = await startApp(t, (_request, response) => response.end(Buffer.alloc(size, 'x')));
  const pair = await startPair(t, app.port);
  const received = await new Promise<number>((resolve, reject) => {
    let bytes = 0;
    const socket = net.connect(pair.outboundPort, '127.0.0.1', () =>
      socket.write('GET / HTTP/1.1\r\nHost: server.test\r\nConnection: close\r\n\r\n'),
    );
    socket.pause();
    setTimeout(() => socket.resume(), 4_000);
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    socket.on('end', () => resolve(bytes));
    socket.on('error', reject);
  });
  t.ok(received > size, `${received} bytes`);
});

t.test('a switched connection keeps half-close, and loses nothing of what is under way', async (t) => {
  const app = await startApp(t, (_request, response) => response.end());
  app.server.on('upgrade', (_request, socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    socket.on('end', () => {
      socket.write(Buffer.alloc(500_000, 'y'));
      socket.end('bye');
    });
    socket.resume();
  });
  const pair = await startPair(t, app.port);
  const received = await new Promise<string>((resolve) => {
    let text = '';
    const socket = net.connect({ port: pair.outboundPort, host: '127.0.0.1', allowHalfOpen: true }, () =>
      socket.write('GET / HTTP/1.1\r\nHost: server.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'),
    );
    socket.once('data', () => socket.end());
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
    });
    socket.on('close', () => resolve(text));
  });
  t.ok(received.endsWith('bye'));
  t.ok(received.length > 500_000);
});

t.test('requests that wait for connections fail at once when the endpoint dies', async (t) => {
  const [deadPort = 0] = await freePorts(1);
  const pair = await startPair(t, deadPort);
  const startedAt = performance.now();
  const answers = await Promise.all(Array.from({ length: 200 }, () => ask(pair.outboundPort)));
  t.ok(answers.every(({ status }) => status === 503));
  t.ok(performance.now() - startedAt < 5_000);
});

t.test('a WebSocket client and server talk both ways in full', async (t) => {
  const app = await startApp(t, (_request, response) => response.end());
  const sockets = new WebSocketServer({ server: app.server });
  sockets.on('connection', (client) => client.on('message', (data) => client.send(data)));
  const pair = await startPair(t, app.port);
  const socket = new WebSocket(`ws://127.0.0.1:${pair.outboundPort}/`, { headers: { host: 'server.test' } });
  const big = Buffer.alloc(2_000_000, 'z');
  const echoed = await new Promise<Buffer>((resolve, reject) => {
    socket.on('open', () => socket.send(big));
    socket.on('message', (data) => resolve(Buffer.isBuffer(data) ? data : Buffer.alloc(0)));
    socket.on('error', reject);
  });
  t.ok(echoed.equals(big));
  await new Promise((resolve) => {
    socket.on('close', resolve);
    socket.close();
  });
  sockets.close();
});
