import net from 'node:net';
import t, { type Test } from 'tap';
import type { ServerRequest } from '#sidecar/http/message.ts';
import { plainHttpLane } from '#sidecar/listener/lane.ts';
import { Listener } from '#sidecar/listener/listener.ts';
import { HELD_TIMEOUT_MS, WaitingRoom } from '#sidecar/listener/waiting-room.ts';
import { ConnectionBudget } from '#sidecar/pressure/connection-budget.ts';
import { listen, portOf } from '../../support/free-ports.ts';
import { until } from '../../support/inbound-sidecar.ts';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';

function answer(request: ServerRequest, text: string): void {
  const body = request.respond({ status: 200, reason: '', headers: ['content-length', String(text.length)] });
  body.write(Buffer.from(text));
  body.end([]);
}

/** A plaintext listener whose limits the test sets. */
async function limited(t: Test, maxConnections: number, onRequest = (request: ServerRequest) => answer(request, 'ok')) {
  const pressure: { reason: string | undefined } = { reason: undefined };
  const connections = new ConnectionBudget(maxConnections);
  const listener = new Listener(plainHttpLane({ onRequest, onUnreadable: () => undefined }), undefined, {
    connections,
    pressure,
  });
  t.teardown(() => listener.destroy());
  const port = await listener.open(0, '127.0.0.1');
  return { listener, port, pressure, connections };
}

interface Caller {
  readonly socket: net.Socket;
  readonly seen: { text: string; isClosed: boolean };
}

/** A caller; remembers what it was told, and whether its connection has ended. */
async function caller(t: Test, port: number): Promise<Caller> {
  const socket = net.connect(port, '127.0.0.1');
  const seen = { text: '', isClosed: false };
  socket.on('data', (bytes) => {
    seen.text += bytes.toString('latin1');
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    seen.isClosed = true;
  });
  t.teardown(() => socket.destroy());
  await new Promise((resolve) => socket.once('connect', resolve));
  return { socket, seen };
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

t.test('under pressure connections wait unread, and are served when it is over', async (t) => {
  const { listener, port, pressure } = await limited(t, 100);
  pressure.reason = 'memory';
  const { socket, seen } = await caller(t, port);
  socket.write(GET);
  await until(() => listener.counts.waiting === 1);
  await pause(1_200); // longer than the interval at which the listener looks
  t.strictSame({ ...seen, ...listener.counts }, { text: '', isClosed: false, open: 0, waiting: 1, turnedAway: 0 });
  pressure.reason = undefined;
  await until(() => seen.text !== '');
  t.match(seen.text, /^HTTP\/1\.1 200 OK[\s\S]*ok$/);
  t.equal(listener.counts.waiting, 0);
});

t.test('beyond maxConnections they wait for one that ends, in their order', async (t) => {
  const { listener, port, connections } = await limited(t, 2, () => {});
  const busy = [await caller(t, port), await caller(t, port)];
  for (const { socket } of busy) socket.write(GET);
  await until(() => connections.isExhausted);
  await caller(t, port);
  await until(() => listener.counts.waiting === 1);
  await caller(t, port);
  await until(() => listener.counts.waiting === 2);
  busy[0]?.socket.destroy();
  await until(() => listener.counts.waiting === 1);
  t.strictSame(listener.counts, { open: 2, waiting: 1, turnedAway: 0 });
  t.equal(busy[1]?.seen.isClosed, false, 'one with a request under way goes on');
});

t.test('idle connections make room, those first that are idle longest; busy ones go on', async (t) => {
  const { port, pressure, listener } = await limited(t, 1_000, (request) => {
    if (request.head.target === '/') answer(request, 'ok');
  });
  const busy = await caller(t, port);
  busy.socket.write(GET.replace('/', '/slow'));
  const idle: Caller[] = [];
  for (let index = 0; index < 40; index++) {
    const one = await caller(t, port);
    one.socket.write(GET);
    await until(() => one.seen.text !== '');
    idle.push(one);
  }
  await until(() => listener.counts.open === 41);
  pressure.reason = 'memory';
  const closed = () => idle.filter(({ seen }) => seen.isClosed).length;
  await until(() => closed() >= 16);
  const flags = idle.map(({ seen }) => seen.isClosed);
  t.strictSame(flags, [...flags].sort().reverse(), 'the oldest first');
  await until(() => closed() === 40);
  t.equal(closed(), 40);
  t.equal(busy.seen.isClosed, false);
});

t.test('a waiting room resets what finds no room, and what has waited too long', async (t) => {
  const room = new WaitingRoom(2);
  const sockets: net.Socket[] = [];
  const server = await listen(net.createServer({ pauseOnConnect: true }, (socket) => sockets.push(socket)));
  t.teardown(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const callers: Caller[] = [];
  for (let index = 0; index < 3; index++) {
    callers.push(await caller(t, portOf(server)));
    await until(() => sockets.length === index + 1);
  }
  for (const [index, socket] of sockets.entries()) room.hold(socket, index * 1_000);
  t.equal(room.size, 2);
  await until(() => callers[2]?.seen.isClosed === true);
  t.equal(callers[2]?.seen.isClosed, true, 'no room');
  t.equal(room.sweep(HELD_TIMEOUT_MS), 0);
  t.equal(room.sweep(HELD_TIMEOUT_MS + 1), 1);
  await until(() => callers[0]?.seen.isClosed === true);
  t.equal(callers[0]?.seen.isClosed, true, 'waited too long');
  t.equal(room.next(), sockets[1]);
  t.equal(room.next(), undefined);
  t.equal(room.turnedAway, 2);
});

t.test('a drain ends connections that wait', async (t) => {
  const { listener, port, pressure } = await limited(t, 100);
  pressure.reason = 'memory';
  const { seen } = await caller(t, port);
  await until(() => listener.counts.waiting === 1);
  await listener.drain();
  await until(() => seen.isClosed);
  t.ok(seen.isClosed);
});
