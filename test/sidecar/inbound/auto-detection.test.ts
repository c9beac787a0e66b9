import net from 'node:net';
import t from 'tap';
import { DETECTION_TIMEOUT_MS } from '#sidecar/listener/questions.ts';
import {
  ALLOW_ANYBODY,
  ALLOW_CLIENT,
  PERMISSIVE,
  readAll,
  startInbound,
  until,
} from '../../support/inbound-sidecar.ts';
import { tcpApp } from '../../support/tcp-app.ts';

const GET =
  'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nx-forwarded-client-cert: URI=spiffe://cluster.local/ns/test/sa/admin\r\n\r\n';

/** Answers HTTP to HTTP, and repeats all else; keeps what it was sent. */
function oddApp(received: string[]) {
  return (socket: net.Socket) => {
    socket.on('data', (bytes) => {
      received.push(bytes.toString('latin1'));
      if (bytes.includes('HTTP/1.1')) socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok');
      else socket.write(bytes);
    });
    socket.on('end', () => socket.end());
  };
}

const beyondDetection = () => new Promise((resolve) => setTimeout(resolve, DETECTION_TIMEOUT_MS + 300));

t.test('TLS without ALPN is HTTP where it begins so, and TCP where it does not', async (t) => {
  const received: string[] = [];
  const app = await tcpApp(t, oddApp(received));
  const sidecar = await startInbound(t, app.port, 'auto', ALLOW_CLIENT);
  const http = await sidecar.connectTls('client');
  http.write(GET.slice(0, 10));
  setTimeout(() => http.write(GET.slice(10)), 50);
  t.match(await readAll(http), /^HTTP\/1\.1 200 OK/);
  http.end();
  t.match(received.join(''), /x-forwarded-client-cert: By=[^\r]*sa\/client\r\n/, 'the sidecar spoke for the caller');
  const tcp = await sidecar.connectTls('client');
  tcp.end('PING\r\n');
  t.equal(await readAll(tcp), 'PING\r\n');
  const short = await sidecar.connectTls('client');
  short.end('PI'); // undecided until the caller says that this was all
  t.equal(await readAll(short), 'PI');
  const lines = await sidecar.log(3);
  t.match(lines, [
    { method: 'GET', status: 200 },
    { method: null, bytesIn: 6 },
    { method: null, bytesIn: 2 },
  ]);
});

t.test('ALPN decides before bytes do: what agreed on HTTP is never TCP', async (t) => {
  const app = await tcpApp(t, oddApp([]));
  const sidecar = await startInbound(t, app.port, 'auto', ALLOW_CLIENT);
  const caller = await sidecar.connectTls('client', { ALPNProtocols: ['http/1.1'] });
  caller.write('PING\r\n\r\n');
  t.match(await readAll(caller), /^HTTP\/1\.1 400 /);
  caller.end();
  t.equal(app.connections(), 0);
});

t.test('what lenient servers would read as HTTP is HTTP, and refused by the codec', async (t) => {
  const app = await tcpApp(t, oddApp([]));
  const sidecar = await startInbound(t, app.port, 'auto', ALLOW_CLIENT);
  for (const text of [`\n${GET}`, ` ${GET}`, GET.replace('GET / ', 'GET\t/\t'), GET.replaceAll('\r\n', '\r')]) {
    const caller = await sidecar.connectTls('client');
    caller.end(text);
    t.match(await readAll(caller), /^(HTTP\/1\.1 400 |$)/, JSON.stringify(text.slice(0, 16)));
  }
  t.equal(app.connections(), 0, 'the app saw none of it');
});

t.test('who says nothing in time and then HTTP after all is cut off: nobody decided on a request', async (t) => {
  const received: string[] = [];
  const app = await tcpApp(t, oddApp(received));
  const sidecar = await startInbound(t, app.port, 'auto', ALLOW_CLIENT);
  const caller = await sidecar.connectTls('client');
  const half = await sidecar.connectTls('client');
  half.write(GET.slice(0, 8));
  const [answer, halfAnswer] = [readAll(caller), readAll(half)];
  await beyondDetection();
  caller.write(GET);
  half.write(GET.slice(8));
  t.equal(await answer, '');
  t.notMatch(await halfAnswer, 'HTTP/1.1 200');
  t.notMatch(received.join(''), 'HTTP/1.1', 'no request line got through');
  const lines = await sidecar.log(2);
  t.match(lines, [
    { code: 'late_protocol', decision: 'deny' },
    { code: 'late_protocol', decision: 'deny' },
  ]);
});

t.test('who says nothing in time and then something else is served', async (t) => {
  const app = await tcpApp(t, oddApp([]));
  const sidecar = await startInbound(t, app.port, 'auto', ALLOW_CLIENT);
  const caller = await sidecar.connectTls('client');
  await beyondDetection();
  caller.write('PING\r\n');
  await new Promise<void>((resolve) => caller.once('data', () => resolve()));
  caller.end(GET); // no first line any more: a TCP protocol may carry what it likes
  t.match(await readAll(caller), /200 OK/);
});

t.test('detection that timed out weakens no policy: rules of HTTP fields allow no TCP', async (t) => {
  const app = await tcpApp(t, oddApp([]));
  const rule = ALLOW_CLIENT.replace('rules: [{', 'rules: [{to: [{operation: {paths: [/]}}], ');
  const sidecar = await startInbound(t, app.port, 'auto', rule);
  const caller = await sidecar.connectTls('client');
  t.equal(await readAll(caller), '', 'closed when nothing had come in time');
  t.match((await sidecar.log(1))[0], {
    code: 'authorization_not_allowed',
    reason: /paths: the connection is not HTTP/,
  });
  const http = await sidecar.connectTls('client');
  http.write(GET);
  t.match(await readAll(http), /^HTTP\/1\.1 200 OK/);
  http.end();
  t.equal(app.connections(), 1);
});

const VALIDATED = `${ALLOW_CLIENT}---
apiVersion: lateral.dev/v1alpha1
kind: APISchema
metadata: {name: api, namespace: test}
spec: {openapi: {inline: {openapi: 3.1.0, info: {title: a, version: "1"}, paths: {/: {get: {responses: {"200": {description: ok}}}}}}}}
---
apiVersion: lateral.dev/v1alpha1
kind: APIValidationPolicy
metadata: {name: api, namespace: test}
spec: {selector: {matchLabels: {app: server}}, schemaRefs: [api], mode: Enforce}
`;

t.test(
  'where requests are to be validated, bytes that cannot be are refused; in Audit they are recorded',
  async (t) => {
    const app = await tcpApp(t, oddApp([]));
    const sidecar = await startInbound(t, app.port, 'auto', VALIDATED);
    const caller = await sidecar.connectTls('client');
    caller.write('PING\r\n');
    t.equal(await readAll(caller), '');
    t.equal(app.connections(), 0);
    t.match((await sidecar.log(1))[0], { code: 'tcp_not_validated', decision: 'deny', policy: 'test/api' });
    await sidecar.setPolicies(VALIDATED.replace('mode: Enforce', 'mode: Audit'));
    const audited = await sidecar.connectTls('client');
    audited.end('PING\r\n');
    t.equal(await readAll(audited), 'PING\r\n');
    t.match((await sidecar.log(2))[1], { code: 'tcp_not_validated', decision: 'audit', policy: 'test/api' });
  },
);

t.test('on a PERMISSIVE auto port plaintext is told apart too', async (t) => {
  const app = await tcpApp(t, oddApp([]));
  const sidecar = await startInbound(t, app.port, 'auto', ALLOW_ANYBODY + PERMISSIVE);
  const tcp = await sidecar.connectPlain();
  tcp.end('PING\r\n');
  t.equal(await readAll(tcp), 'PING\r\n');
  const http = await sidecar.connectPlain();
  http.write(GET);
  t.match(await readAll(http), /^HTTP\/1\.1 200 OK/);
  http.end();
  const late = await sidecar.connectPlain();
  await beyondDetection();
  await until(() => app.connections() === 3);
  late.write(Buffer.from('1603010200010001fc0303', 'hex'));
  t.equal(await readAll(late), '', 'TLS that comes late is not passed on to the app');
  const lines = await sidecar.log(3);
  t.match(lines, [{ method: null, source: null }, { method: 'GET', source: null }, { code: 'late_protocol' }]);
});

t.test('a caller that leaves before it said anything leaves no trace, and no connection', async (t) => {
  const app = await tcpApp(t, oddApp([]));
  const sidecar = await startInbound(t, app.port, 'auto', ALLOW_ANYBODY + PERMISSIVE);
  const caller = net.connect(sidecar.port, '127.0.0.1');
  await new Promise<void>((resolve) => caller.once('connect', () => resolve()));
  caller.end();
  t.equal(await readAll(caller), '');
  const startedAt = performance.now();
  await sidecar.running.stop();
  t.ok(performance.now() - startedAt < 3_000);
  t.strictSame(await sidecar.log(0), []);
});
