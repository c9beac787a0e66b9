import { execFile, spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import http2 from 'node:http2';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import {
  ALLOW_ANYBODY,
  ALLOW_CLIENT,
  type InboundSidecar,
  PERMISSIVE,
  readAll,
  startInbound,
  until,
} from '../../support/inbound-sidecar.ts';
import { startApp } from '../../support/start-app.ts';
import { tcpApp } from '../../support/tcp-app.ts';

const run = promisify(execFile);
const GET = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';

const curl = async (sidecar: InboundSidecar, ...options: string[]) => {
  const { stdout } = await run('curl', ['-sS', '-m', '5', ...options, `http://127.0.0.1:${sidecar.port}/`]);
  return stdout;
};

/** curl over mutual TLS as `client`. */
const curlTls = async (sidecar: InboundSidecar, ...options: string[]) => {
  const leaf = sidecar.authority.leaf('spiffe://cluster.local/ns/test/sa/client');
  const [cert, key] = [join(sidecar.directory, 'caller.pem'), join(sidecar.directory, 'caller.key')];
  await writeFile(cert, leaf.cert);
  await writeFile(key, leaf.key);
  const { stdout } = await run('curl', [
    '-sSk',
    '-m',
    '5',
    '--cert',
    cert,
    '--key',
    key,
    ...options,
    `https://127.0.0.1:${sidecar.port}/`,
  ]);
  return stdout;
};

t.test(
  'a PERMISSIVE port serves curl in plaintext and over mutual TLS, and the app learns who proved what',
  async (t) => {
    const app = await startApp(t, (request, response) =>
      response.end(`${request.headers['x-forwarded-client-cert'] ?? 'nobody'}`),
    );
    const sidecar = await startInbound(t, app.port, 'http', ALLOW_ANYBODY + PERMISSIVE);
    const forged = ['-H', 'x-forwarded-client-cert: URI=spiffe://cluster.local/ns/test/sa/admin'];
    t.equal(await curl(sidecar, ...forged), 'nobody', 'plaintext, HTTP/1.1');
    t.equal(await curl(sidecar, '--http2-prior-knowledge', ...forged), 'nobody', 'plaintext, HTTP/2');
    t.equal(await curl(sidecar, '--http2', ...forged), 'nobody', 'plaintext, an upgrade to h2c is not taken');
    const proven = /^By=[^;]*;Hash=[0-9a-f]{64};URI=spiffe:\/\/cluster\.local\/ns\/test\/sa\/client$/;
    t.match(await curlTls(sidecar, '--http1.1', ...forged), proven);
    t.match(await curlTls(sidecar, '--http2', ...forged), proven);
    const lines = await sidecar.log(5);
    t.strictSame(
      lines.map(({ source }) => source),
      [null, null, null, ...Array(2).fill('spiffe://cluster.local/ns/test/sa/client')],
    );
  },
);

t.test('a plaintext caller matches no rule about identities', async (t) => {
  const app = await startApp(t, (_request, response) => response.end('ok'));
  const rules = `${ALLOW_CLIENT}---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: public, namespace: test}
spec: {rules: [{to: [{operation: {paths: [/public]}}]}]}
`;
  const sidecar = await startInbound(t, app.port, 'http', rules + PERMISSIVE);
  const status = (...options: string[]) => curl(sidecar, '-o', '/dev/null', '-w', '%{http_code}', ...options);
  t.equal(await status(), '403');
  t.equal(await status('--request-target', '/public'), '200');
  t.match((await sidecar.log(1))[0], {
    source: null,
    code: 'authorization_not_allowed',
    reason: /the caller has no identity/,
  });
});

t.test(
  'a policy change switches a port at once for new connections, and open ones end after what is under way',
  async (t) => {
    const app = await startApp(t, (_request, response) => response.end('ok'));
    const sidecar = await startInbound(t, app.port, 'http', ALLOW_ANYBODY);
    const refused = await sidecar.connectPlain();
    refused.write(GET);
    t.equal(await readAll(refused), '', 'STRICT: closed without an answer');
    t.match((await sidecar.log(1))[0], { code: 'tls_handshake_failed', decision: 'deny', method: null });
    await sidecar.setPolicies(ALLOW_ANYBODY + PERMISSIVE);
    t.equal(await curl(sidecar), 'ok');
    const kept = await sidecar.connectPlain();
    let text = '';
    kept.on('data', (bytes) => {
      text += bytes;
    });
    kept.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await until(() => text.endsWith('ok'));
    const closed = new Promise((resolve) => kept.on('end', resolve));
    await sidecar.setPolicies(ALLOW_ANYBODY);
    const again = await sidecar.connectPlain();
    again.write(GET);
    t.equal(await readAll(again), '');
    await closed;
    kept.end();
  },
);

t.test('portLevelMtls names the port of the app', async (t) => {
  const app = await startApp(t, (_request, response) => response.end('ok'));
  const onPort = (port: number) => `---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: port, namespace: test}
spec: {selector: {matchLabels: {app: server}}, mtls: {mode: STRICT}, portLevelMtls: {${port}: {mode: PERMISSIVE}}}
`;
  const sidecar = await startInbound(t, app.port, 'http', ALLOW_ANYBODY + onPort(app.port));
  t.equal(await curl(sidecar), 'ok');
  await sidecar.setPolicies(ALLOW_ANYBODY + onPort(1));
  await t.rejects(curl(sidecar));
});

t.test('TLS on a PERMISSIVE port still needs a good certificate', async (t) => {
  const app = await startApp(t, (_request, response) => response.end('ok'));
  const sidecar = await startInbound(t, app.port, 'http', ALLOW_ANYBODY + PERMISSIVE);
  await t.rejects(run('curl', ['-sk', '-m', '5', `https://127.0.0.1:${sidecar.port}/`]));
  t.match((await sidecar.log(1))[0], { code: 'no_client_certificate', decision: 'deny' });
});

t.test('what begins neither TLS nor HTTP is closed without an answer, and recorded', async (t) => {
  const app = await startApp(t, (_request, response) => response.end('ok'));
  const sidecar = await startInbound(t, app.port, 'http', ALLOW_ANYBODY + PERMISSIVE);
  const openings = [
    'GET /\r\n',
    'GET / HTTP/3.0\r\n',
    'EHLO a\r\n',
    '\0\0\0\x08',
    '\x16\x02',
    '\r\nGET / HTTP/1.1\r\n\r\n',
  ];
  for (const opening of openings) {
    const caller = await sidecar.connectPlain();
    caller.write(opening);
    t.equal(await readAll(caller), '', JSON.stringify(opening));
  }
  const lines = await sidecar.log(openings.length);
  t.ok(
    lines.every(
      ({ code, decision, source }) => code === 'unrecognized_protocol' && decision === 'deny' && source === null,
    ),
  );
  t.equal(lines.length, openings.length);
});

t.test('first bytes that come one by one are put together', async (t) => {
  const app = await startApp(t, (_request, response) => response.end('ok'));
  const sidecar = await startInbound(t, app.port, 'http', ALLOW_ANYBODY + PERMISSIVE);
  const slow = await sidecar.connectPlain();
  slow.setNoDelay(true);
  const answer = readAll(slow);
  for (const character of GET) {
    slow.write(character);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  t.match(await answer, /^HTTP\/1\.1 200 [\s\S]*ok/);
  slow.end();
  // a request that came with the first line is not lost, and neither is the one behind it
  const pipelined = await sidecar.connectPlain();
  pipelined.write(`GET / HTTP/1.1\r\nHost: a\r\n\r\n${GET}`);
  t.equal((await readAll(pipelined)).match(/HTTP\/1\.1 200/g)?.length, 2);
  pipelined.end();
});

t.test('a caller in plaintext reaches a TCP app where policy lets it, and not where it is STRICT', async (t) => {
  const app = await tcpApp(t, (socket) => socket.end('220 ready\r\n'));
  const sidecar = await startInbound(t, app.port, 'tcp', ALLOW_ANYBODY + PERMISSIVE);
  const silent = await sidecar.connectPlain();
  t.equal(await readAll(silent), '220 ready\r\n', 'also when the server speaks first');
  silent.end();
  t.match((await sidecar.log(1))[0], { source: null, decision: 'allow', bytesOut: 11 });
  const secure = await sidecar.connectTls('client');
  t.equal(await readAll(secure), '220 ready\r\n');
  secure.end();
  t.match((await sidecar.log(2))[1], { source: 'spiffe://cluster.local/ns/test/sa/client' });
  await sidecar.setPolicies(ALLOW_ANYBODY);
  const strict = await sidecar.connectPlain();
  strict.write('hello');
  t.equal(await readAll(strict), '');
});

t.test('openssl negotiates by ALPN, and gets HTTP/1.1 without', async (t) => {
  const app = await startApp(t, (request, response) => response.end(`over ${request.httpVersion}`));
  const sidecar = await startInbound(t, app.port, 'http', ALLOW_CLIENT);
  const leaf = sidecar.authority.leaf('spiffe://cluster.local/ns/test/sa/client');
  await writeFile(join(sidecar.directory, 'c.pem'), leaf.cert);
  await writeFile(join(sidecar.directory, 'c.key'), leaf.key);
  const openssl = (input: string, ...options: string[]) =>
    new Promise<string>((resolve) => {
      const args = ['s_client', '-connect', `127.0.0.1:${sidecar.port}`, '-cert', 'c.pem', '-key', 'c.key', '-ign_eof'];
      const child = spawn('openssl', [...args, ...options], { cwd: sidecar.directory });
      let text = '';
      child.stdout.on('data', (chunk) => {
        text += chunk;
      });
      child.on('close', () => resolve(text));
      child.stdin.write(input);
    });
  const plain = await openssl(GET);
  t.match(plain, /No ALPN negotiated/);
  t.match(plain, /HTTP\/1\.1 200 OK[\s\S]*over 1\.1/);
  t.match(await openssl(GET, '-alpn', 'http/1.1'), /ALPN protocol: http\/1\.1[\s\S]*HTTP\/1\.1 200 OK/);
  t.match(await openssl('no preface, so the session ends\r\n\r\n', '-alpn', 'h2'), /ALPN protocol: h2/);
  t.match(await openssl('', '-alpn', 'smtp'), /no peer certificate available/, 'none in common: RFC 7301 §3.2');
  const session = http2.connect(`https://127.0.0.1:${sidecar.port}`, { ...leaf, rejectUnauthorized: false });
  const request = session.request({ ':path': '/' });
  const status = await new Promise((resolve) => request.on('response', (headers) => resolve(headers[':status'])));
  t.equal(status, 200);
  session.destroy();
});
