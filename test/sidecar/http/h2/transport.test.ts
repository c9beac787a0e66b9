import { once } from 'node:events';
import net from 'node:net';
import t, { type Test } from 'tap';
import { Refusal } from '#policy/error/refusal.ts';
import { ACK, HEADERS } from '#sidecar/http/h2/frame.ts';
import {
  Http2Transport,
  PING_TIMEOUT_MS,
  SETTINGS_ACK_TIMEOUT_MS,
  SILENCE_BEFORE_PING_MS,
  WRITE_STALL_TIMEOUT_MS,
} from '#sidecar/http/h2/http2-transport.ts';
import { Http2ServerConnection } from '#sidecar/http/h2/server-connection.ts';
import { INITIAL_WINDOW_SIZE } from '#sidecar/http/h2/settings.ts';
import type { ServerRequest } from '#sidecar/http/message.ts';
import { listen, portOf } from '../../../support/free-ports.ts';
import { block, clientPreface, data, frame, goaway, headers, ping, request, settings, windowUpdate } from './frames.ts';
import { RawPeer } from './raw-peer.ts';
import { ServerRun } from './session-runs.ts';

const OK = { status: 200, reason: '', headers: [] };
const HOUR_MS = 3_600_000;

/** The serving end of a real connection, and the asking one, which says what it likes. */
async function socketPair(t: Test): Promise<{ socket: net.Socket; peer: RawPeer }> {
  const server = await listen(net.createServer({ allowHalfOpen: true, noDelay: true }));
  const client = net.connect(portOf(server), '127.0.0.1');
  const [socket]: net.Socket[] = await once(server, 'connection');
  t.teardown(() => {
    client.destroy();
    socket?.destroy();
    server.close();
  });
  if (socket === undefined) throw new Error('no connection');
  return { socket, peer: new RawPeer(client) };
}

/** A session on a real connection whose clock the test tells. */
class TransportRun extends ServerRun {
  transport: Http2Transport | undefined;
  lost: string | undefined;

  attach(socket: net.Socket): Http2Transport {
    this.transport = new Http2Transport(socket, this.session, (reason) => {
      this.lost = reason;
    });
    this.transport.schedule();
    return this.transport;
  }

  override onOutput(): void {
    this.transport?.schedule();
  }

  override onPingAcknowledged(): void {
    this.transport?.pingAcknowledged();
  }
}

async function transportPair(t: Test): Promise<{ run: TransportRun; transport: Http2Transport; peer: RawPeer }> {
  const { socket, peer } = await socketPair(t);
  const run = new TransportRun();
  const transport = run.attach(socket);
  await peer.until('SETTINGS', (frames) => frames.length === 2);
  return { run, transport, peer };
}

t.test('RFC 9113 §6.5.3: SETTINGS that are not acknowledged in time end the connection', async (t) => {
  const { run, transport, peer } = await transportPair(t);
  peer.say(clientPreface(), headers(1, request('GET', '/')));
  await peer.until('an acknowledgement', (frames) => frames.includes('SETTINGS ACK'));
  transport.tick(performance.now() + SETTINGS_ACK_TIMEOUT_MS - 2_000);
  t.equal(run.lost, undefined);
  transport.tick(performance.now() + SETTINGS_ACK_TIMEOUT_MS + 1);
  t.match(run.lost, `settingsAckTimeoutMs ${SETTINGS_ACK_TIMEOUT_MS}`);
  await peer.untilClosed();
  t.equal(peer.gone, 'GOAWAY 1 SETTINGS_TIMEOUT');
  t.match(run.told().join(), /1 abandoned: SETTINGS not acknowledged/);
});

t.test('a peer that is silent while it waits is asked whether it lives, and given up', async (t) => {
  const { run, transport, peer } = await transportPair(t);
  peer.say(clientPreface(), frame(4, ACK, 0));
  await peer.until('an acknowledgement', (frames) => frames.includes('SETTINGS ACK'));
  transport.tick(performance.now() + HOUR_MS);
  peer.say(ping('idle.......'.slice(0, 8)));
  await peer.until('its PING', (frames) => frames.some((line) => line.startsWith('PING ACK')));
  t.notOk(
    peer.frames.some((line) => line === 'PING lateral.'),
    'an idle connection is not asked',
  );

  peer.say(headers(1, request('GET', '/'), { end: true }), ping('request.'));
  await peer.until('its PING', (frames) => frames.includes('PING ACK request.'));
  const begun = performance.now();
  transport.tick(begun + SILENCE_BEFORE_PING_MS - 2_000);
  transport.tick(begun + SILENCE_BEFORE_PING_MS + 1_000);
  await peer.until('PING', (frames) => frames.includes('PING lateral.'));
  transport.tick(begun + SILENCE_BEFORE_PING_MS + PING_TIMEOUT_MS - 1_000);
  t.equal(run.lost, undefined);
  const other = await transportPair(t);
  other.peer.say(clientPreface(), frame(4, ACK, 0), headers(1, request('GET', '/'), { end: true }), ping('request.'));
  await other.peer.until('its PING', (frames) => frames.includes('PING ACK request.'));
  other.transport.tick(performance.now() - 1 + SILENCE_BEFORE_PING_MS + 10);
  await other.peer.until('PING', (frames) => frames.includes('PING lateral.'));
  other.peer.say(ping('anything', ACK));
  other.peer.say(ping('go on...'));
  await other.peer.until('its PING', (frames) => frames.includes('PING ACK go on...'));
  other.transport.tick(performance.now() + PING_TIMEOUT_MS + 5_000);
  t.equal(other.run.lost, undefined, 'one that answers lives');
  transport.tick(begun + SILENCE_BEFORE_PING_MS + PING_TIMEOUT_MS + 2_000);
  t.match(run.lost, /no sign of life within pingTimeoutMs/);
  await peer.untilClosed();
  t.match(run.told().join(), /1 abandoned: no sign of life/);
});

t.test('a peer that takes nothing of what was sent is given up, one that takes a little is not', async (t) => {
  const { run, transport, peer } = await transportPair(t);
  peer.say(clientPreface([INITIAL_WINDOW_SIZE, 0x7fff_ffff]), frame(4, ACK, 0), windowUpdate(0, 0x7fff_0000));
  peer.say(headers(1, request('GET', '/'), { end: true }), ping());
  await peer.until('its PING', (frames) => frames.includes('PING ACK 12345678'));
  peer.socket.pause();
  const body = run.request(1).respond(OK);
  const chunk = Buffer.alloc(65_536);
  let written = 0;
  body.onDrain = () => {
    while (body.write(chunk)) written++;
  };
  body.onDrain();
  // the kernel's buffers take some megabytes
  const isHeldBack = async () => {
    const before = written;
    await new Promise((resolve) => setTimeout(resolve, 100));
    return before === written;
  };
  while (!(await isHeldBack()));
  t.ok(run.session.isCongested);
  t.ok(run.budget.usedBytes < 1_000_000, `${run.budget.usedBytes} bytes wait`);
  const stalledAt = performance.now();
  transport.tick(stalledAt);
  transport.tick(stalledAt + WRITE_STALL_TIMEOUT_MS - 1_000);
  t.equal(run.lost, undefined);
  peer.socket.resume();
  await new Promise((resolve) => setTimeout(resolve, 50));
  peer.socket.pause();
  while (!(await isHeldBack()));
  transport.tick(stalledAt + WRITE_STALL_TIMEOUT_MS + 1_000);
  t.equal(run.lost, undefined, 'it has taken some');
  transport.tick(stalledAt + 2 * WRITE_STALL_TIMEOUT_MS + 2_000);
  t.match(run.lost, /no byte taken for writeStallTimeoutMs/);
  t.match(run.told().join(), /1 abandoned/);
  t.equal(run.budget.usedBytes, 0);
});

interface Served {
  readonly connection: Http2ServerConnection;
  readonly peer: RawPeer;
  readonly requests: ServerRequest[];
  readonly unreadable: Refusal[];
  readonly closed: Promise<void>;
  isClosed(): boolean;
}

async function serve(t: Test): Promise<Served> {
  const { socket, peer } = await socketPair(t);
  const requests: ServerRequest[] = [];
  const unreadable: Refusal[] = [];
  let isClosed = false;
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  const connection = new Http2ServerConnection(
    socket,
    { address: '127.0.0.1', port: 1, certificate: undefined },
    {
      onRequest: (asked) => requests.push(asked),
      onUnreadable: (_caller, refusal) => {
        unreadable.push(refusal);
        return undefined;
      },
      onClosed: () => {
        isClosed = true;
        resolve();
      },
    },
  );
  return { connection, peer, requests, unreadable, closed, isClosed: () => isClosed };
}

/** Says it, and waits until it was read. */
async function say({ peer }: Served, ...bytes: Buffer[]): Promise<void> {
  const before = peer.frames.length;
  peer.say(...bytes, ping('..read..'));
  await peer.until('PING ACK', (frames) => frames.slice(before).includes('PING ACK ..read..'));
}

t.test(
  'what a connection waits for: its head, from the first byte of it, also while requests are under way',
  async (t) => {
    const served = await serve(t);
    const { connection, peer } = served;
    const openedAt = performance.now();
    t.equal(connection.state.kind, 'head', 'the preface has not come');
    t.ok(connection.state.since <= openedAt);
    peer.say(clientPreface().subarray(0, 30));
    await new Promise((resolve) => setTimeout(resolve, 50));
    t.equal(connection.state.kind, 'head', 'nor have the SETTINGS');
    t.ok(connection.state.since <= openedAt, 'and the time runs from the beginning');
    await say(served, clientPreface().subarray(30));
    t.equal(connection.state.kind, 'idle');
    await say(served, headers(1, request('POST', '/')));
    t.equal(connection.state.kind, 'busy');
    await say(served, data(1, 'body').subarray(0, 9 + 1), Buffer.from('ody'));
    t.equal(connection.state.kind, 'busy', 'a body may rest');

    const whole = headers(3, request('GET', '/slow'), { end: true });
    const before = performance.now();
    for (const [from, to] of [
      [0, 3],
      [3, 9],
      [9, 10],
      [10, 30],
    ] as const) {
      peer.say(whole.subarray(from, to));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const { kind, since } = connection.state;
    t.equal(kind, 'head', 'a HEADERS frame that is not whole');
    t.ok(since >= before && since < performance.now() - 20, 'since its first byte, whatever came behind');
    await say(served, whole.subarray(30));
    t.equal(connection.state.kind, 'busy');

    const pieces = block(request('GET', '/pieces'));
    peer.say(frame(HEADERS, 1, 5, pieces.subarray(0, 9)), frame(9, 0, 5, pieces.subarray(9, 12)));
    await new Promise((resolve) => setTimeout(resolve, 50));
    t.equal(connection.state.kind, 'head', 'a header block that is not whole');
    connection.refuse(new Refusal('request_timeout', 'too slow'));
    t.equal(connection.state.kind, 'busy', 'it is told once');
    await peer.untilClosed();
    t.match(peer.gone, /^GOAWAY 3 ENHANCE_YOUR_CALM/);
    t.strictSame(
      served.unreadable.map(({ code }) => code),
      ['request_timeout'],
    );
  },
);

t.test('RFC 9113 §6.8: a drain loses nothing: two GOAWAY, and the end behind the last answer', async (t) => {
  const served = await serve(t);
  const { connection, peer, requests } = served;
  await say(served, clientPreface(), frame(4, ACK, 0), headers(1, request('GET', '/1'), { end: true }));
  connection.drain();
  await peer.until('the first GOAWAY', () => peer.gone === 'GOAWAY 2147483647 NO_ERROR');
  await peer.until('PING', (frames) => frames.includes('PING lateral.'));
  peer.say(headers(3, request('GET', '/3'), { end: true }), ping('lateral.', ACK));
  await peer.until('the second GOAWAY', (frames) => frames.includes('GOAWAY 3 NO_ERROR'));
  peer.say(headers(5, request('GET', '/5'), { end: true }));
  for (const asked of requests) asked.respond({ ...OK, headers: ['x-path', asked.head.target] }).end([]);
  await peer.untilClosed();
  t.strictSame(
    peer.frames.filter((line) => line.startsWith('HEADERS')),
    ['HEADERS 1 END_STREAM [:status: 200, x-path: /1]', 'HEADERS 3 END_STREAM [:status: 200, x-path: /3]'],
  );
  await served.closed;
});

t.test('a request that contradicts itself is never handed on', async (t) => {
  const served = await serve(t);
  await say(
    served,
    clientPreface(),
    frame(4, ACK, 0),
    headers(1, request('POST', '/', 'content-length', '5'), { end: true }),
    headers(3, request('GET', ' /'), { end: true }),
  );
  t.strictSame(
    served.peer.frames.filter((line) => line.startsWith('RST')),
    ['RST_STREAM 1 PROTOCOL_ERROR', 'RST_STREAM 3 PROTOCOL_ERROR'],
  );
  t.equal(served.requests.length, 0);
  t.strictSame(
    served.unreadable.map(({ code }) => code),
    ['http2_protocol_error', 'http2_protocol_error'],
  );
});

t.test('a caller that goes away is let go, when what it asked has been answered', async (t) => {
  const idle = await serve(t);
  await say(idle, clientPreface(), frame(4, ACK, 0));
  idle.peer.say(goaway(0, 0));
  await idle.peer.untilClosed();

  const busy = await serve(t);
  await say(busy, clientPreface(), frame(4, ACK, 0), headers(1, request('GET', '/'), { end: true }), goaway(0, 0));
  busy.requests[0]?.respond(OK).end([]);
  await busy.peer.untilClosed();
  t.ok(busy.peer.frames.includes('HEADERS 1 END_STREAM [:status: 200]'));
});

t.test('a drain does not wait long for a caller that answers no PING, and ends an idle connection', async (t) => {
  const served = await serve(t);
  await say(served, clientPreface(), frame(4, ACK, 0));
  served.connection.drain();
  served.connection.drain();
  await served.peer.untilClosed();
  t.strictSame(
    served.peer.frames.filter((line) => line.startsWith('GOAWAY')),
    ['GOAWAY 2147483647 NO_ERROR', 'GOAWAY 0 NO_ERROR'],
  );
});

t.test('a slow reader gets the last answer of a connection whole', async (t) => {
  const served = await serve(t);
  const { connection, peer, requests } = served;
  await say(
    served,
    clientPreface([INITIAL_WINDOW_SIZE, 0x7fff_ffff]),
    frame(4, ACK, 0),
    windowUpdate(0, 0x7fff_0000 - 65_535),
    headers(1, request('GET', '/1'), { end: true }),
  );
  peer.socket.pause();
  const size = 6_000_000;
  const body = requests[0]?.respond(OK);
  body?.write(Buffer.alloc(size));
  body?.end([]);
  connection.drain();
  // longer than a drain waits for PING; the kernel has taken a part of it only
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  t.notOk(served.isClosed());
  peer.socket.resume();
  await peer.untilClosed();
  const got = peer.frames
    .map((line) => Number(/^DATA 1 (?:END_STREAM )?(\d+) bytes/.exec(line)?.[1] ?? 0))
    .reduce((sum, bytes) => sum + bytes);
  t.equal(got, size);
  t.match(peer.frames.join('\n'), /^DATA 1 END_STREAM/m);
});

t.test('what is said in one turn leaves in one piece', async (t) => {
  const { socket, peer } = await socketPair(t);
  const writes = t.capture(socket, 'write', socket.write);
  const run = new TransportRun();
  run.attach(socket);
  await peer.until('SETTINGS', (frames) => frames.length === 2);
  run.serve = (asked) => {
    const body = asked.respond(OK);
    body.write(Buffer.from('body'));
    body.end(['x', 'y']);
  };
  writes();
  peer.say(
    clientPreface(),
    ...[1, 3, 5, 7, 9].map((id) => headers(id, request('GET', '/'), { end: true })),
    settings(),
  );
  await peer.until('five answers', (frames) => frames.filter((line) => line.includes('END_STREAM')).length === 5);
  t.equal(writes().length, 1, 'two acknowledgements and five answers');
});
