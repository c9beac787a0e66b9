import net from 'node:net';
import t, { type Test } from 'tap';
import { APP_IDLE_TIMEOUT_MS, Http1Upstream, MIN_IDLE_TIMEOUT_MS } from '#sidecar/http/h1/upstream.ts';
import type { OutgoingRequest } from '#sidecar/http/message.ts';
import { UpstreamFailure } from '#sidecar/http/message.ts';
import { freePorts, listen, portOf } from '../../../support/free-ports.ts';
import { until } from '../../../support/inbound-sidecar.ts';
import { outgoingRequest, readWhole } from '../../../support/outgoing-request.ts';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

/** An app that does with each connection what the test says; knows how many requests came on each. */
async function rawApp(t: Test, serve: (socket: net.Socket, request: number, connection: number) => void) {
  const requests: number[] = [];
  const sockets: net.Socket[] = [];
  const server = await listen(
    net.createServer({ allowHalfOpen: true }, (socket) => {
      const connection = sockets.push(socket) - 1;
      requests.push(0);
      socket.on('error', () => {});
      socket.on('data', (bytes) => {
        for (const _ of bytes.toString('latin1').matchAll(/^[A-Z]+ \S+ HTTP\/1\.1\r$/gm)) {
          const request = (requests[connection] ?? 0) + 1;
          requests[connection] = request;
          serve(socket, request, connection);
        }
      });
    }),
  );
  const upstream = new Http1Upstream('127.0.0.1', portOf(server), undefined);
  t.teardown(() => {
    upstream.close();
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { upstream, requests, sockets };
}

function requestOf(method = 'GET', isRepeated = false): OutgoingRequest {
  const body = method === 'POST' ? Buffer.from('body') : null;
  return outgoingRequest({ method, target: '/', headers: ['host', 'a'], version: '1.1' }, { body, isRepeated });
}

/** Sends and reads the answer to its end; the body, or the failure. */
async function send(upstream: Http1Upstream, request = requestOf()): Promise<string | UpstreamFailure> {
  try {
    const { body } = await upstream.send(request).response;
    return (await readWhole(body)).body.toString('latin1');
  } catch (error) {
    if (error instanceof UpstreamFailure) return error;
    throw error;
  }
}

/** As a pipeline does it: once more, where the failure says that this may mend it. */
async function sendTwice(upstream: Http1Upstream): Promise<string | UpstreamFailure> {
  const first = await send(upstream);
  return first instanceof UpstreamFailure && first.wasKept ? send(upstream, requestOf('GET', true)) : first;
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

for (const [how, close] of [
  ['a clean end', (socket: net.Socket) => socket.end()],
  ['a reset', (socket: net.Socket) => socket.resetAndDestroy()],
] as const) {
  t.test(
    `with several kept connections that end under their requests by ${how}, each is answered at the second try`,
    async (t) => {
      const count = 20;
      let isClosing = false;
      const { upstream, requests, sockets } = await rawApp(t, (socket, request) => {
        if (isClosing && request > 1) close(socket);
        else socket.write(OK);
      });
      await Promise.all(Array.from({ length: count }, () => send(upstream)));
      const kept = sockets.length;
      isClosing = true;
      const answers = await Promise.all(Array.from({ length: kept }, () => sendTwice(upstream)));
      t.ok(
        answers.every((answer) => answer === 'ok'),
        `${kept} kept connections`,
      );
      t.ok(requests.slice(0, kept).every((number) => number <= 2));
      t.ok(
        requests.slice(kept).every((number) => number === 1),
        'the second try is made on a new connection',
      );
      t.equal(requests.slice(kept).length, kept);
    },
  );
}

t.test('a request that is sent again takes a new connection, though others are kept', async (t) => {
  const { upstream, requests } = await rawApp(t, (socket) => socket.write(OK));
  await send(upstream);
  t.equal(await send(upstream, requestOf('GET', true)), 'ok');
  t.strictSame(requests, [1, 1]);
  t.equal(await send(upstream), 'ok');
  t.strictSame(requests, [1, 2], 'the newest of those that are kept is used first');
});

t.test('an app that closes behind its answers, without saying so before, has each request answered', async (t) => {
  const { upstream, sockets } = await rawApp(t, (socket) => socket.end(OK));
  for (let index = 0; index < 10; index++) {
    t.equal(await sendTwice(upstream), 'ok');
    if (index % 2 === 0) await until(() => sockets.every(({ readyState }) => readyState !== 'open'));
  }
});

t.test('a connection of which the app closed its half is not used again', async (t) => {
  const { upstream, sockets, requests } = await rawApp(t, (socket) => socket.write(OK));
  await send(upstream);
  sockets[0]?.end();
  await until(() => sockets[0]?.destroyed === true || sockets[0]?.readableEnded === true);
  t.equal(await send(upstream, requestOf('POST')), 'ok');
  t.strictSame(requests, [1, 1]);
});

t.test('what the app says unasked ends the connection, and is nobody’s answer', async (t) => {
  const { upstream, sockets, requests } = await rawApp(t, (socket) => socket.write(OK));
  await send(upstream);
  sockets[0]?.write('HTTP/1.1 408 Request Timeout\r\nContent-Length: 3\r\n\r\nbad');
  await until(() => sockets[0]?.destroyed === true || sockets[0]?.readableEnded === true);
  t.equal(await send(upstream), 'ok');
  t.strictSame(requests, [1, 1]);
});

t.test('a connection is given up before the app’s Keep-Alive timeout', async (t) => {
  const { upstream, requests } = await rawApp(t, (socket) =>
    socket.write(OK.replace('Content', 'Keep-Alive: timeout=1\r\nContent')),
  );
  await send(upstream);
  await turn();
  await send(upstream);
  t.strictSame(requests, [1, 1], 'one second less a margin of one: not used again');
});

t.test('an app that closes idle connections early has them given up earlier', async (t) => {
  const { upstream, sockets, requests } = await rawApp(t, (socket, _request, connection) => {
    socket.write(OK);
    if (connection === 0) setTimeout(() => socket.end(), 100);
  });
  await send(upstream);
  await until(() => sockets[0]?.readableEnded === true);
  await turn();
  await send(upstream);
  await new Promise((resolve) => setTimeout(resolve, MIN_IDLE_TIMEOUT_MS + 50));
  t.ok(MIN_IDLE_TIMEOUT_MS + 50 < APP_IDLE_TIMEOUT_MS / 2);
  await send(upstream);
  t.strictSame(requests, [1, 1, 1], 'kept for less than usual');
});

t.test('an answer before the request was taken whole ends the connection', async (t) => {
  const { upstream, sockets } = await rawApp(t, (socket, request) => {
    if (request === 1) socket.pause();
    socket.write(OK);
  });
  const request = { ...requestOf('POST'), body: Buffer.alloc(20_000_000, 'x') };
  t.equal(await send(upstream, request), 'ok');
  await send(upstream);
  t.equal(sockets.length, 2);
});

t.test('requests that wait for a connection get one in their order, and none waits for ever', async (t) => {
  const { WaitingRequests, POOL_WAIT_TIMEOUT_MS } = await import('#sidecar/http/h1/waiting-requests.ts');
  const { ClientExchange } = await import('#sidecar/http/h1/client-connection.ts');
  const waiting = new WaitingRequests();
  const exchanges = Array.from({ length: 6 }, (_, index) => new ClientExchange(requestOf('GET', index === 1)));
  for (const exchange of exchanges) exchange.response.catch(() => {});
  for (const [index, exchange] of exchanges.entries()) waiting.add(exchange, index * 1_000);
  exchanges[2]?.cancel();
  t.equal(waiting.take(true), exchanges[0]);
  t.equal(waiting.take(true), exchanges[3], 'one that is repeated takes no kept connection, one that is given up none');
  t.equal(waiting.take(false), exchanges[1]);
  t.strictSame(waiting.takeLate(POOL_WAIT_TIMEOUT_MS + 4_000), []);
  t.strictSame(waiting.takeLate(POOL_WAIT_TIMEOUT_MS + 4_001), [exchanges[4]]);
  t.equal(waiting.size, 1);
});

t.test('1,000 requests at once to one app are all answered, and as many to one that is away all fail', async (t) => {
  const { upstream, sockets } = await rawApp(t, (socket) => socket.write(OK));
  const answers = await Promise.all(Array.from({ length: 1_000 }, () => send(upstream)));
  t.ok(answers.every((answer) => answer === 'ok'));
  t.ok(sockets.length <= 1_000);
  const [port = 0] = await freePorts(1);
  const dead = new Http1Upstream('127.0.0.1', port, undefined);
  t.teardown(() => dead.close());
  const failures = await Promise.all(Array.from({ length: 1_000 }, () => send(dead)));
  t.ok(failures.every((failure) => failure instanceof UpstreamFailure && failure.isUnsent));
});
