import { once } from 'node:events';
import { get } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { MAX_LOCAL_CONNECTIONS, MAX_LOCAL_CONNECTIONS_PER_SOURCE } from '#sidecar/admin/local-connections.ts';
import { openLocalServer, text } from '#sidecar/admin/local-server.ts';

/** The limit for a whole request, and how often it is looked at, with something for a slow machine. */
const CLOSED_WITHIN_MS = 8_000;

async function openServer(t: Test) {
  const server = await openLocalServer(
    { port: 0, address: '127.0.0.1', loopbackOnly: false },
    { 'GET /readyz': () => text(200, 'ready'), 'GET /never': () => new Promise(() => {}) },
  );
  t.teardown(() => server.close());
  return server.port;
}

/** An open connection from this address, on which nothing but `said` is said. */
async function hold(t: Test, port: number, source: string, said = ''): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', localAddress: source });
  socket.on('error', () => {});
  t.teardown(() => socket.destroy());
  await once(socket, 'connect');
  socket.resume();
  socket.write(said);
  return socket;
}

function holdMany(t: Test, port: number, source: string, count: number, said?: string): Promise<readonly Socket[]> {
  return Promise.all(Array.from({ length: count }, () => hold(t, port, source, said)));
}

async function probe(port: number, source: string): Promise<number | string> {
  const { promise, resolve } = Promise.withResolvers<number | string>();
  const asked = get({ host: '127.0.0.1', port, path: '/readyz', agent: false, localAddress: source }, (response) => {
    response.resume();
    resolve(response.statusCode ?? 0);
  });
  asked.setTimeout(2_000, () => asked.destroy(new Error('timeout')));
  asked.on('error', (error) => resolve(error.message));
  return promise;
}

t.test('whoever holds idle connections keeps nobody from an answer, not even itself', async (t) => {
  const port = await openServer(t);
  const held = await holdMany(t, port, '127.0.0.2', 300);
  t.equal(await probe(port, '127.0.0.9'), 200);
  t.equal(await probe(port, '127.0.0.2'), 200);
  await wait(50);
  const open = held.filter(({ destroyed }) => !destroyed).length;
  t.ok(open <= MAX_LOCAL_CONNECTIONS_PER_SOURCE, `${open} of one source are open`);
});

t.test('at the limit the one that was idle longest makes room', async (t) => {
  const port = await openServer(t);
  const sources = MAX_LOCAL_CONNECTIONS / MAX_LOCAL_CONNECTIONS_PER_SOURCE;
  const held: Socket[] = [];
  for (let index = 0; index < sources; index++)
    held.push(...(await holdMany(t, port, `127.0.0.${index + 2}`, MAX_LOCAL_CONNECTIONS_PER_SOURCE)));
  t.equal(await probe(port, '127.0.0.9'), 200);
  await wait(50);
  t.equal(held.filter(({ destroyed }) => destroyed).length, 1);
});

t.test('requests under way make room only where one source has most of them', async (t) => {
  const port = await openServer(t);
  const request = 'GET /never HTTP/1.1\r\nHost: x\r\n\r\n';
  for (let index = 0; index < MAX_LOCAL_CONNECTIONS / MAX_LOCAL_CONNECTIONS_PER_SOURCE; index++)
    await holdMany(t, port, `127.0.0.${index + 2}`, MAX_LOCAL_CONNECTIONS_PER_SOURCE, request);
  await wait(500); // until they are read
  t.equal(await probe(port, '127.0.0.9'), 200, 'the kubelet');
  // the place was the oldest's, of the first source; the last one has all of its share
  t.not(await probe(port, '127.0.0.5'), 200, 'one that has its share');
});

t.test('a connection without a whole request is closed', async (t) => {
  const port = await openServer(t);
  const held = await Promise.all([hold(t, port, '127.0.0.2'), hold(t, port, '127.0.0.2', 'GET /readyz HTTP/1.1\r\n')]);
  await Promise.race([Promise.all(held.map((socket) => once(socket, 'close'))), wait(CLOSED_WITHIN_MS)]);
  t.same(
    held.map(({ destroyed }) => destroyed),
    [true, true],
  );
});
