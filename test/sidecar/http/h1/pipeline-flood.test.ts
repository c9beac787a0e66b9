import net from 'node:net';
import t, { type Test } from 'tap';
import { Http1ServerConnection } from '#sidecar/http/h1/server-connection.ts';
import type { ServerRequest } from '#sidecar/http/message.ts';
import { plainHttpLane } from '#sidecar/listener/lane.ts';
import { Listener } from '#sidecar/listener/listener.ts';
import { listen, portOf } from '../../../support/free-ports.ts';
import { until } from '../../../support/inbound-sidecar.ts';

const ANSWER = Buffer.alloc(1_000, 'a');
/** What the kernel's buffers of a loopback connection take, and ours: less than this. */
const MAX_ANSWERS_AHEAD = 20_000;
/** For tens of thousands of answers on a busy machine. */
const ALL_WITHIN_MS = 20_000;

async function flooded(t: Test, answerLater: boolean) {
  let asked = 0;
  const answer = (request: ServerRequest) => {
    const body = request.respond({ status: 200, reason: '', headers: ['content-length', String(ANSWER.length)] });
    body.write(ANSWER);
    body.end([]);
  };
  const listener = new Listener(
    plainHttpLane({
      onRequest(request) {
        asked++;
        if (answerLater) setImmediate(answer, request);
        else answer(request);
      },
      onUnreadable: () => undefined,
    }),
  );
  t.teardown(() => listener.destroy());
  const socket = net.connect(await listener.open(0, '127.0.0.1'), '127.0.0.1');
  t.teardown(() => socket.destroy());
  return { socket, asked: () => asked };
}

for (const answerLater of [false, true]) {
  const how = answerLater ? 'later' : 'at once';
  t.test(`a caller that sends requests and reads no answers, which come ${how}, is not read any further`, async (t) => {
    const { socket, asked } = await flooded(t, answerLater);
    const count = 60_000;
    const requests = Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(count));
    socket.pause();
    socket.write(requests);
    let before = -1;
    await until(async () => {
      before = asked();
      await new Promise((resolve) => setTimeout(resolve, 200));
      return before > 0 && asked() === before;
    });
    t.equal(asked(), before, 'it has come to rest');
    t.ok(asked() < MAX_ANSWERS_AHEAD, `${asked()} of ${count} requests were answered`);
    let received = 0;
    socket.on('data', (bytes) => {
      for (let at = bytes.indexOf('HTTP/1.1 200'); at !== -1; at = bytes.indexOf('HTTP/1.1 200', at + 1)) received++;
    });
    socket.resume();
    await until(() => asked() === count, ALL_WITHIN_MS);
    t.equal(asked(), count, 'it goes on when the answers are read');
    await until(() => received > count * 0.99, ALL_WITHIN_MS); // a status line may be split between two reads
    t.ok(received > count * 0.99, `${received} answers`);
  });
}

t.test('a connection whose caller reads nothing says so, and since when', async (t) => {
  const connections: Http1ServerConnection[] = [];
  const server = await listen(
    net.createServer({ allowHalfOpen: true }, (socket) => {
      const handlers = {
        onRequest(request: ServerRequest) {
          const body = request.respond({ status: 200, reason: '', headers: ['content-length', '10000000'] });
          body.write(Buffer.alloc(10_000_000));
          body.end([]);
        },
        onUnreadable: () => undefined,
        onClosed: () => {},
      };
      const caller = { address: '127.0.0.1', port: 1, certificate: undefined };
      connections.push(new Http1ServerConnection(socket, caller, handlers));
    }),
  );
  const socket = net.connect(portOf(server), '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n'));
  t.teardown(() => {
    socket.destroy();
    server.close();
  });
  socket.pause();
  await until(() => connections[0]?.state.kind === 'write');
  await new Promise((resolve) => setTimeout(resolve, 300));
  const stalledSince = connections[0]?.state.since ?? 0;
  await new Promise((resolve) => setTimeout(resolve, 100));
  t.strictSame(connections[0]?.state, { kind: 'write', since: stalledSince }, 'nothing was taken');
  socket.resume();
  await until(() => connections[0]?.state.kind === 'idle');
  const { kind, since = 0 } = connections[0]?.state ?? {};
  t.equal(kind, 'idle');
  t.ok(since > stalledSince, 'what was taken counts');
});

t.test('a caller that leaves is noticed, also where its body ended just when it was told to wait', async (t) => {
  let hasLeft = false;
  const handlers = {
    onRequest(request: ServerRequest) {
      request.onAbandoned = () => {
        hasLeft = true;
      };
      request.body.start({ onChunk: () => request.body.pause(), onEnd: () => {}, onError: () => {} });
    },
    onUnreadable: () => undefined,
    onClosed: () => {},
  };
  const caller = { address: '127.0.0.1', port: 1, certificate: undefined };
  const server = await listen(
    net.createServer({ allowHalfOpen: true }, (socket) => new Http1ServerConnection(socket, caller, handlers)),
  );
  t.teardown(() => server.close());
  const socket = net.connect(portOf(server), '127.0.0.1');
  socket.write('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc');
  await new Promise((resolve) => setTimeout(resolve, 100));
  socket.destroy();
  await until(() => hasLeft);
  t.ok(hasLeft);
});
