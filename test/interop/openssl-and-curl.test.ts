import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { eventually } from '../control-plane/control-plane-fixture.ts';
import { type MeshProcesses, type MeshSidecar, startMeshProcesses } from '../support/mesh-processes.ts';
import { agedPeerFiles, type PeerFiles, peerFiles } from '../support/peer-certificates.ts';
import { refusedConnections } from '../support/refused-connections.ts';
import { type Ended, runCommand, skipWithout } from '../support/run-command.ts';
import { startApp } from '../support/start-app.ts';

const WEB = 'spiffe://cluster.local/ns/shop/sa/web';
const REQUEST = 'GET /orders HTTP/1.1\r\nHost: orders.shop\r\nConnection: close\r\n\r\n';
/** Ample for a handshake on a busy machine. */
const SHORT_LIFE_MS = 15_000;

const POLICIES = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  selector: {matchLabels: {app: orders}}
  rules: [{from: [{source: {principals: ["cluster.local/ns/shop/sa/web"]}}]}]
`;

interface Peers {
  readonly mesh: MeshProcesses;
  readonly orders: MeshSidecar;
  readonly to: string;
  readonly web: PeerFiles;
  /** A request by `openssl s_client`, which verifies the server. */
  sClient(files: PeerFiles | undefined, ...more: string[]): Promise<Ended>;
  curl(...more: string[]): Promise<Ended>;
}

const skip = await skipWithout('openssl', 'curl', 'bash');

async function startPeers(t: Test): Promise<Peers> {
  const app = await startApp(t, (request, response) =>
    response.end(String(request.headers['x-forwarded-client-cert'])),
  );
  const mesh = await startMeshProcesses(t);
  await mesh.writePolicy('orders.yaml', POLICIES);
  const orders = await mesh.startSidecar('orders', { appPort: app.port });
  const web = await peerFiles(mesh, 'web');
  const to = `127.0.0.1:${orders.inbound}`;
  return {
    mesh,
    orders,
    to,
    web,
    sClient(files, ...more) {
      const own = files === undefined ? [] : ['-cert', files.cert, '-cert_chain', files.cert, '-key', files.key];
      const verified = ['-CAfile', mesh.trustBundle, '-verify_return_error', '-purpose', 'sslserver'];
      return runCommand('openssl', ['s_client', '-connect', to, ...verified, ...own, '-ign_eof', ...more], REQUEST);
    },
    curl(...more) {
      const own = ['--cert', web.cert, '--key', web.key, '--cacert', mesh.trustBundle];
      return runCommand('curl', ['-sS', ...own, '-H', 'Host: orders.shop', ...more, `https://${to}/orders`]);
    },
  };
}

t.test('openssl s_client verifies a sidecar and is served', { skip }, async (t) => {
  const { sClient, web } = await startPeers(t);
  for (const alpn of [[], ['-alpn', 'http/1.1']]) {
    const { stdout } = await sClient(web, '-tls1_3', ...alpn);
    t.match(stdout, 'Verify return code: 0 (ok)');
    t.match(stdout, 'New, TLSv1.3');
    t.match(stdout, alpn.length === 0 ? 'No ALPN negotiated' : 'ALPN protocol: http/1.1');
    t.match(stdout, 'HTTP/1.1 200 OK');
    t.match(stdout, `URI=${WEB}`);
  }
  const { stdout } = await sClient(web, '-alpn', 'h2,http/1.1');
  t.match(stdout, 'ALPN protocol: h2');
});

t.test('openssl without a good certificate, and with TLS 1.2, is refused for a reason', { skip }, async (t) => {
  const { sClient, mesh, orders, web } = await startPeers(t);
  const ended = await agedPeerFiles(mesh, 'web', 7_200_000, 3_600_000);
  const attempts = [
    { title: 'no certificate', run: () => sClient(undefined), code: 'no_client_certificate' },
    { title: 'an expired one', run: () => sClient(ended), code: 'certificate_expired' },
    {
      title: 'a leaf without its chain',
      run: () => sClient(web, '-cert_chain', mesh.trustBundle),
      code: 'untrusted_issuer',
    },
    { title: 'TLS 1.2', run: () => sClient(web, '-tls1_2'), code: 'tls_handshake_failed' },
  ];
  for (const [index, { title, run, code }] of attempts.entries()) {
    const { stdout } = await run();
    t.notMatch(stdout, 'HTTP/1.1', title);
    const line = (await refusedConnections(orders, index + 1)).at(-1);
    // the coarse code stands until each refusal has its own
    if (line?.code !== 'untrusted_certificate') t.equal(line?.code, code, title);
  }
});

t.test('a session that openssl kept is good for no more than its identity', { skip }, async (t) => {
  const { sClient, mesh, orders, web } = await startPeers(t);
  const session = join(mesh.directory, 'web.session');
  await sClient(web, '-sess_out', session);
  const again = await sClient(web, '-sess_in', session);
  t.match(again.stdout, 'HTTP/1.1 200 OK');
  t.match(again.stdout, `URI=${WEB}`);
  t.match(again.stdout, /^(Reused|New), TLSv1\.3/m);

  await mesh.authority('revoke', '--identity', 'shop/web');
  const refused = async () => {
    const { stdout } = await sClient(undefined, '-sess_in', session);
    return stdout.includes('Reused, TLSv1.3') && !stdout.includes('HTTP/1.1');
  };
  await eventually('what is revoked is refused', refused);
  t.equal((await refusedConnections(orders, 1)).at(-1)?.code, 'certificate_revoked');
  await mesh.authority('reinstate', '--identity', 'shop/web');
  await eventually('what is reinstated is served', async () => !(await refused()));
});

t.test('a session that openssl kept ends with its certificate', { skip }, async (t) => {
  const { sClient, mesh, orders } = await startPeers(t);
  const session = join(mesh.directory, 'short.session');
  const endsAtMs = Date.now() + SHORT_LIFE_MS;
  const short = await agedPeerFiles(mesh, 'web', 3_600_000, 3_600_000 + SHORT_LIFE_MS);
  t.match((await sClient(short, '-sess_out', session)).stdout, 'HTTP/1.1 200 OK');
  await sleep(endsAtMs + 1_000 - Date.now()); // a second: certificates have no fractions of one
  for (const files of [short, undefined]) {
    const late = await sClient(files, '-sess_in', session);
    t.match(late.stdout, 'Reused, TLSv1.3');
    t.notMatch(late.stdout, 'HTTP/1.1', 'after its end');
  }
  const codes = (await refusedConnections(orders, 2)).map(({ code }) => code);
  t.same(codes, ['certificate_expired', 'certificate_expired']);
});

t.test('curl cannot verify a SPIFFE ID, says so, and is served when it is held to a key', { skip }, async (t) => {
  const { curl, to, web, mesh } = await startPeers(t);
  t.equal((await curl()).code, 60, 'there is no name that it could verify');
  const page = await readFile(new URL('../../docs/operating.md', import.meta.url), 'utf8');
  const commands = [...page.matchAll(/^```sh\n([^`]*openssl s_client[^`]*)^```/gm)].map((match) => match[1] ?? '');
  t.equal(commands.length, 2, 'of the page');
  const names = { to, roots: mesh.trustBundle, cert: web.cert, key: web.key };
  const script = `${commands.join('').replace(/^to=.*$/m, '')}\necho " $pin"`;
  const { stdout, stderr } = await runCommand('bash', ['-eo', 'pipefail', '-c', script], '', names);
  t.match(stdout, 'URI:spiffe://cluster.local/ns/shop/sa/orders', stderr);
  t.match(stdout, `URI=${WEB}`);
  const pinned = ['-k', '--pinnedpubkey', `sha256//${stdout.trim().split(' ').at(-1)}`];
  for (const [option, version] of [
    ['--http1.1', '1.1'],
    ['--http2', '2'],
  ] as const) {
    const served = await curl(...pinned, option, '--tlsv1.3', '-w', ' %{http_version} %{http_code}');
    t.match(served.stdout, new RegExp(` ${version} 200$`), served.stderr);
  }
  const other = await curl('-k', '--pinnedpubkey', `sha256//${Buffer.alloc(32).toString('base64')}`);
  t.equal(other.code, 90);
});
