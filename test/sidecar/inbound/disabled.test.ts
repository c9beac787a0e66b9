import { execFile } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import { promisify } from 'node:util';
import t from 'tap';
import { TestAuthority } from '../../support/certificates.ts';
import { listen, portOf } from '../../support/free-ports.ts';
import {
  ALLOW_ANYBODY,
  ALLOW_CLIENT,
  DISABLE,
  PERMISSIVE,
  readAll,
  startInbound,
} from '../../support/inbound-sidecar.ts';
import { startApp } from '../../support/start-app.ts';
import { tcpApp } from '../../support/tcp-app.ts';

const run = promisify(execFile);
const curl = async (...args: string[]) => (await run('curl', ['-sS', '-m', '5', ...args])).stdout;

t.test('a DISABLE port serves plaintext alone, and refuses TLS with its own code', async (t) => {
  const app = await startApp(t, (request, response) =>
    response.end(`${request.headers['x-forwarded-client-cert'] ?? 'nobody'}`),
  );
  const sidecar = await startInbound(t, app.port, 'http', ALLOW_ANYBODY + DISABLE);
  const url = `http://127.0.0.1:${sidecar.port}/`;
  t.equal(await curl('-H', 'x-forwarded-client-cert: URI=spiffe://cluster.local/ns/test/sa/admin', url), 'nobody');
  t.equal(await curl('--http2-prior-knowledge', url), 'nobody', 'HTTP/2');
  await t.rejects(sidecar.connectTls('client'));
  t.match(await sidecar.log(3), [
    { source: null, decision: 'allow', status: 200 },
    { source: null, decision: 'allow', status: 200 },
    { source: null, decision: 'deny', code: 'tls_disabled', method: null },
  ]);
});

t.test('a DISABLE port answers what is no HTTP, like any HTTP server', async (t) => {
  const app = await startApp(t, (_request, response) => response.end('ok'));
  const sidecar = await startInbound(t, app.port, 'http', ALLOW_ANYBODY + DISABLE);
  const caller = await sidecar.connectPlain();
  caller.write('EHLO a\r\n\r\n');
  t.match(await readAll(caller), /^HTTP\/1\.1 400 /);
});

t.test('a caller of a DISABLE port matches no rule about identities', async (t) => {
  const app = await startApp(t, (_request, response) => response.end('ok'));
  const sidecar = await startInbound(t, app.port, 'http', ALLOW_CLIENT + DISABLE);
  const status = await curl('-o', '/dev/null', '-w', '%{http_code}', `http://127.0.0.1:${sidecar.port}/`);
  t.equal(status, '403');
  t.match(await sidecar.log(1), [{ source: null, code: 'authorization_not_allowed' }]);
});

for (const protocol of ['tcp', 'auto'] as const) {
  t.test(`on a DISABLE port of protocol ${protocol} TLS is the app's own affair`, async (t) => {
    const authority = new TestAuthority();
    const own = authority.leaf('spiffe://elsewhere/db');
    const app = await listen(tls.createServer({ ...own }, (socket) => socket.end('from the app')));
    t.teardown(() => app.close());
    const sidecar = await startInbound(t, portOf(app), protocol, ALLOW_ANYBODY + DISABLE);
    const host = { host: '127.0.0.1', port: sidecar.port };
    const caller = tls.connect({ ...host, ca: authority.rootPem, checkServerIdentity: () => undefined });
    await once(caller, 'secureConnect');
    t.match(caller.getPeerX509Certificate()?.subjectAltName, /spiffe:\/\/elsewhere\/db/, "the app's certificate");
    t.equal(await readAll(caller), 'from the app');
    t.match(await sidecar.log(1), [{ source: null, decision: 'allow', method: null }]);
  });
}

t.test('who calls in plaintext is counted by port of the app, and remembered', async (t) => {
  const app = await startApp(t, (_request, response) => response.end('ok'));
  const sidecar = await startInbound(t, app.port, 'http', ALLOW_ANYBODY + PERMISSIVE);
  const url = `http://127.0.0.1:${sidecar.port}/`;
  await curl(url, url, url);
  const secure = await sidecar.connectTls('client');
  secure.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  t.match(await readAll(secure), / 200 /);
  secure.end();
  const metrics = await sidecar.metrics();
  t.match(metrics, new RegExp(`^lateral_plaintext_connections_total\\{port="${app.port}"\\} 1$`, 'm'));
  t.match(metrics, new RegExp(`^lateral_plaintext_requests_total\\{port="${app.port}"\\} 3$`, 'm'));
  const page = JSON.parse(await (await fetch(`http://127.0.0.1:${sidecar.adminPort}/plaintext-callers`)).text());
  t.match(page, { callers: [{ address: '127.0.0.1', port: app.port, connections: 1, requests: 3 }] });
  t.ok(Date.now() - Date.parse(page.since) < 600_000);
});

t.test('a connection of TCP in plaintext is counted as such', async (t) => {
  const app = await tcpApp(t, (socket) => socket.end('220 ready\r\n'));
  const sidecar = await startInbound(t, app.port, 'tcp', ALLOW_ANYBODY + DISABLE);
  const caller = net.connect(sidecar.port, '127.0.0.1');
  t.equal(await readAll(caller), '220 ready\r\n', 'the server speaks first, and nobody waits for the caller');
  t.match(await sidecar.metrics(), new RegExp(`^lateral_plaintext_connections_total\\{port="${app.port}"\\} 1$`, 'm'));
});
