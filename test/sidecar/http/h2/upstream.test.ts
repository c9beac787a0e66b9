import net from 'node:net';
import t, { type Test } from 'tap';
import { NO_ERROR, REFUSED_STREAM } from '#sidecar/http/h2/frame.ts';
import { MAX_CONCURRENT_STREAMS } from '#sidecar/http/h2/settings.ts';
import { FIRST_SETTINGS_TIMEOUT_MS, Http2Upstream, MAX_HTTP2_CONNECTIONS } from '#sidecar/http/h2/upstream.ts';
import { listen, portOf } from '../../../support/free-ports.ts';
import { goaway, headers, rstStream, settings, settingsAck } from './frames.ts';
import { RawPeer } from './raw-peer.ts';
import { Asked, type AskOptions, FedBody, settled } from './session-runs.ts';

interface Server {
  readonly port: number;
  readonly peers: RawPeer[];
}

/** A server that says what the test says: `onHead` at each request, with the connection's number. */
async function startServer(
  t: Test,
  onHead: (peer: RawPeer, id: number, connection: number) => void,
  greet: (peer: RawPeer, connection: number) => void = (peer) => peer.say(settings(), settingsAck),
): Promise<Server> {
  const peers: RawPeer[] = [];
  const server = await listen(
    net.createServer((socket) => {
      const peer = new RawPeer(socket);
      const connection = peers.push(peer) - 1;
      peer.onFrame = (line) => {
        const id = /^HEADERS (\d+) /.exec(line)?.[1];
        if (id !== undefined) onHead(peer, Number(id), connection);
      };
      greet(peer, connection);
    }),
  );
  t.teardown(() => {
    server.close();
    for (const peer of peers) peer.close();
  });
  return { port: portOf(server), peers };
}

const ok = (id: number) => headers(id, [':status', '200'], { end: true });

/** Requests through a pool, and what was told of them. */
class Pool {
  readonly events: string[] = [];
  readonly upstream: Http2Upstream;

  constructor(t: Test, port: number) {
    this.upstream = new Http2Upstream({ address: '127.0.0.1', port });
    t.teardown(() => this.upstream.close());
  }

  ask(name: string, options: AskOptions = {}): { asked: Asked; cancel: () => void } {
    const asked = new Asked(name, this.events, options);
    const flight = this.upstream.send(asked);
    asked.follow(flight);
    return { asked, cancel: () => flight.cancel(new Error('not wanted')) };
  }

  async until(what: string, isSo: () => boolean): Promise<void> {
    const deadline = performance.now() + 10_000;
    while (!isSo()) {
      if (performance.now() > deadline) throw new Error(`${what}; told: ${this.events.join(' | ')}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  answered(): number {
    return this.events.filter((line) => line.includes(' answered 200')).length;
  }
}

t.test('a stream that was refused is sent again, a body in memory with it', async (t) => {
  let refused = 0;
  const server = await startServer(t, (peer, id) =>
    peer.say(refused++ % 2 === 0 ? rstStream(id, REFUSED_STREAM) : ok(id)),
  );
  const pool = new Pool(t, server.port);
  pool.ask('get');
  await pool.until('get', () => pool.answered() === 1);
  pool.ask('post', { method: 'POST', body: Buffer.from('all of it') });
  await pool.until('post', () => pool.answered() === 2);
  t.equal(server.peers.length, 1);
  t.strictSame(server.peers[0]?.frames.filter((line) => line.startsWith('DATA')).length, 2, 'the body was sent twice');
});

t.test('what a server went away from goes to a new connection, and what it had begun is finished', async (t) => {
  const server = await startServer(t, (peer, id, connection) => {
    if (connection > 0) peer.say(ok(id));
    else if (id === 5) {
      peer.say(goaway(1, NO_ERROR));
      setTimeout(() => peer.say(ok(1)), 50);
    }
  });
  const pool = new Pool(t, server.port);
  pool.ask('first');
  await pool.until('a connection', () => server.peers[0]?.frames.some((line) => line.startsWith('HEADERS 1')) ?? false);
  pool.ask('second');
  pool.ask('third', { method: 'POST', body: Buffer.from('whole') });
  await pool.until('all', () => pool.answered() === 3);
  t.equal(server.peers.length, 2);
  t.equal(server.peers[0]?.frames.filter((line) => line.startsWith('HEADERS')).length, 3);
  await server.peers[0]?.untilClosed();
  t.pass('the old connection is closed, when it is idle');
});

t.test('a body of which a part has left is not sent twice', async (t) => {
  const server = await startServer(t, (peer, id) => peer.say(rstStream(id, REFUSED_STREAM)));
  const pool = new Pool(t, server.port);
  const { asked } = pool.ask('post', { method: 'POST', body: new FedBody() });
  await pool.until('a failure', () => asked.failure !== undefined);
  t.match(asked.failure, { kind: 'closed', isUnsent: false, wasKept: false });
  t.equal(server.peers[0]?.frames.filter((line) => line.startsWith('HEADERS')).length, 1);
});

t.test('requests wait while a server allows none, and go when it does', async (t) => {
  const server = await startServer(
    t,
    (peer, id) => peer.say(ok(id)),
    (peer) => peer.say(settings([MAX_CONCURRENT_STREAMS, 0]), settingsAck),
  );
  const pool = new Pool(t, server.port);
  for (let index = 0; index < 20; index++) pool.ask(`${index}`);
  const { asked, cancel } = pool.ask('given up', { path: '/given-up' });
  await pool.until('connections', () => server.peers.length > 1);
  cancel();
  await settled();
  t.match(asked.failure, { kind: 'cancelled', isUnsent: true });
  t.equal(pool.answered(), 0);
  t.ok(server.peers.length <= MAX_HTTP2_CONNECTIONS);
  server.peers[0]?.say(settings([MAX_CONCURRENT_STREAMS, 3]));
  await pool.until('all', () => pool.answered() === 20);
  for (const { frames } of server.peers) t.notMatch(frames.join(), '/given-up', 'what was given up is not sent');
});

t.test('a server that closes each connection is not dialled for requests that were given up', async (t) => {
  const server = await startServer(
    t,
    () => {},
    (peer) => {
      peer.say(settings([MAX_CONCURRENT_STREAMS, 0]), settingsAck);
      setTimeout(() => peer.close(), 2);
    },
  );
  const pool = new Pool(t, server.port);
  const { cancel } = pool.ask('a');
  await pool.until('some connections', () => server.peers.length > 3);
  cancel();
  await new Promise((resolve) => setTimeout(resolve, 100));
  const before = server.peers.length;
  await new Promise((resolve) => setTimeout(resolve, 200));
  t.equal(server.peers.length, before);
});

t.test('a server that says nothing is unreachable after a while', async (t) => {
  const server = await startServer(
    t,
    () => {},
    () => {},
  );
  const pool = new Pool(t, server.port);
  const begunAt = performance.now();
  const { asked } = pool.ask('a');
  await pool.until('a failure', () => asked.failure !== undefined);
  t.match(asked.failure, { kind: 'unreachable', isUnsent: true });
  t.match(asked.failure?.message, `firstSettingsTimeoutMs ${FIRST_SETTINGS_TIMEOUT_MS}`);
  t.ok(performance.now() - begunAt >= FIRST_SETTINGS_TIMEOUT_MS - 100);
  t.strictSame(
    server.peers[0]?.frames.filter((line) => line.startsWith('HEADERS')),
    [],
    'it was sent no request',
  );
});

t.test('a server that speaks HTTP/1.1 is unreachable by HTTP/2', async (t) => {
  const server = await listen(net.createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')));
  t.teardown(() => server.close());
  const pool = new Pool(t, portOf(server));
  const { asked } = pool.ask('a');
  await pool.until('a failure', () => asked.failure !== undefined);
  t.match(asked.failure, { kind: 'unreachable', isUnsent: true });
});

t.test('what one connection cannot take goes over further ones, and an answer is everybody’s own', async (t) => {
  const held: (() => void)[] = [];
  const server = await startServer(
    t,
    (peer, id) =>
      held.push(() =>
        peer.say(headers(id, [':status', '200', 'x-peer', `${server.peers.indexOf(peer)}-${id}`], { end: true })),
      ),
    (peer) => peer.say(settings([MAX_CONCURRENT_STREAMS, 4]), settingsAck),
  );
  const pool = new Pool(t, server.port);
  for (let index = 0; index < 100; index++) pool.ask(`${index}`);
  await pool.until('all connections', () => held.length === 4 * MAX_HTTP2_CONNECTIONS);
  t.equal(server.peers.length, MAX_HTTP2_CONNECTIONS);
  await pool.until('all answers', () => {
    for (const answer of held.splice(0).reverse()) answer();
    return pool.answered() === 100;
  });
  const names = pool.events.filter((line) => line.includes('answered')).map((line) => line.split(' ').at(-1));
  t.equal(new Set(names).size, 100);
  t.equal(server.peers.length, MAX_HTTP2_CONNECTIONS);
});

t.test('requests that wait are served by the connection there is, where no other can be made', async (t) => {
  const held: (() => void)[] = [];
  const sockets: RawPeer[] = [];
  const listener = await listen(
    net.createServer((socket) => {
      const peer = new RawPeer(socket);
      sockets.push(peer);
      peer.onFrame = (line) => {
        const id = /^HEADERS (\d+) /.exec(line)?.[1];
        if (id !== undefined) held.push(() => peer.say(ok(Number(id))));
      };
      peer.say(settings([MAX_CONCURRENT_STREAMS, 1]), settingsAck);
    }),
  );
  t.teardown(() => {
    for (const peer of sockets) peer.close();
  });
  const pool = new Pool(t, portOf(listener));
  pool.ask('first');
  await pool.until('a request', () => held.length === 1);
  listener.close();
  const { asked } = pool.ask('second');
  await new Promise((resolve) => setTimeout(resolve, 100));
  t.equal(asked.failure, undefined, 'that no other could be made is no failure of it');
  held.shift()?.();
  await pool.until('the second request', () => held.length === 1);
  held.shift()?.();
  await pool.until('both', () => pool.answered() === 2);
});

t.test('requests that wait go elsewhere when a connection is lost', async (t) => {
  const last = MAX_HTTP2_CONNECTIONS;
  const server = await startServer(
    t,
    (peer, id, connection) => (connection === last ? peer.say(ok(id)) : undefined),
    (peer, connection) =>
      peer.say(settings([MAX_CONCURRENT_STREAMS, connection === 0 ? 1 : connection === last ? 9 : 0]), settingsAck),
  );
  const pool = new Pool(t, server.port);
  const { asked } = pool.ask('held');
  await pool.until('a request', () => server.peers[0]?.frames.some((line) => line.startsWith('HEADERS 1')) ?? false);
  pool.ask('waiting');
  await pool.until('all connections', () => server.peers.length === MAX_HTTP2_CONNECTIONS);
  server.peers[0]?.close();
  await pool.until('an answer', () => pool.answered() === 1);
  t.match(asked.failure, { kind: 'closed', wasKept: true });
  t.equal(server.peers.length, MAX_HTTP2_CONNECTIONS + 1);
});

t.test('a request that is given up frees its stream', async (t) => {
  const server = await startServer(
    t,
    (peer, id) => (id > 1 ? peer.say(ok(id)) : undefined),
    (peer) => peer.say(settings([MAX_CONCURRENT_STREAMS, 1]), settingsAck),
  );
  const pool = new Pool(t, server.port);
  const { cancel } = pool.ask('held');
  await pool.until('a request', () => server.peers[0]?.frames.some((line) => line.startsWith('HEADERS 1')) ?? false);
  cancel();
  pool.ask('next');
  await pool.until('next', () => pool.answered() === 1);
  t.ok(server.peers[0]?.frames.includes('RST_STREAM 1 CANCEL'));
  t.equal(server.peers.length, 1);
});

t.test('a closed pool finishes what is under way and closes', async (t) => {
  let answer: () => void = () => {};
  const server = await startServer(t, (peer, id) => {
    answer = () => peer.say(ok(id));
  });
  const pool = new Pool(t, server.port);
  pool.ask('a');
  await pool.until('a request', () => server.peers[0]?.frames.some((line) => line.startsWith('HEADERS 1')) ?? false);
  pool.upstream.close();
  answer();
  await pool.until('an answer', () => pool.answered() === 1);
  await server.peers[0]?.untilClosed();
  t.match(server.peers[0]?.gone, 'GOAWAY 0 NO_ERROR');
});
