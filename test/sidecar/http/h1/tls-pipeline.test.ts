import tls from 'node:tls';
import t from 'tap';
import { Http1ServerConnection } from '#sidecar/http/h1/server-connection.ts';
import type { ServerRequest } from '#sidecar/http/message.ts';
import { TestAuthority } from '../../../support/certificates.ts';
import { listen, portOf } from '../../../support/free-ports.ts';
import { until } from '../../../support/inbound-sidecar.ts';

const authority = new TestAuthority();
const COUNT = 1_500;
const ANSWER = Buffer.alloc(400, 'x');

/** TLS hands over records that it had taken in before the socket was paused: they come behind what waits. */
for (const [title, padding] of [
  ['records end where requests do', ''],
  ['records end anywhere', 'x-padding: 12345\r\n'],
] as const) {
  t.test(`pipelined requests over TLS are answered in order while answers wait to be taken: ${title}`, async (t) => {
    const seen: string[] = [];
    const handlers = {
      onRequest(request: ServerRequest) {
        seen.push(request.head.target);
        const headers = ['content-length', String(ANSWER.length)];
        const body = request.respond({ status: 403, reason: '', headers });
        body.write(ANSWER);
        body.end([]);
      },
      onUnreadable: () => undefined,
      onClosed: () => {},
    };
    const { cert, key } = authority.leaf('spiffe://cluster.local/ns/test/sa/server');
    const options = { cert, key, allowHalfOpen: true };
    const caller = { address: '127.0.0.1', port: 1, certificate: undefined };
    const server = await listen(
      tls.createServer(options, (socket) => new Http1ServerConnection(socket, caller, handlers)),
    );
    t.teardown(() => server.close());
    const socket = tls.connect({ port: portOf(server), host: '127.0.0.1', rejectUnauthorized: false });
    t.teardown(() => socket.destroy());
    const targets = Array.from({ length: COUNT }, (_, index) => `/${String(index).padStart(5, '0')}`);
    socket.write(targets.map((target) => `GET ${target} HTTP/1.1\r\nhost: a\r\n${padding}\r\n`).join(''));
    let bytes = 0;
    socket.on('data', (chunk) => {
      bytes += chunk.length;
    });
    await until(() => seen.length === COUNT);
    t.strictSame(seen, targets);
    await until(() => bytes > COUNT * ANSWER.length);
  });
}
