import { X509Certificate } from 'node:crypto';
import t, { type Test } from 'tap';
import { callFrom, Load, Watch } from './calls.ts';
import { apply, helm, kubectl, lateral, list, succeed, until } from './cluster-tools.ts';
import { ForeignMesh, OUTSIDE, startOutsider, tlsCall } from './foreign-mesh.ts';
import { manifests, restartSidecar, rolledOut } from './workloads.ts';

/** Who is believed: modes of mutual TLS, a new root, an identity taken back, another mesh; all while calls go on. */
const ROOT = 'lateral-system';
const NAMESPACE = 'identity';
/** The shortest there is: certificates are renewed within the test. */
const LEAF_LIFETIME = '5m';
/** At half of it, with 10% of jitter, and what a busy machine takes. */
const RENEWED_WITHIN_MS = 200_000;
/** A revocation is in force within a second; the machine may be busy. */
const REVOKED_WITHIN_MS = 1_500;
const CHART = [
  ...[
    '--set',
    'image.repository=localhost/lateral',
    '--set',
    'image.tag=dev',
    '--set',
    'image.pullPolicy=IfNotPresent',
  ],
  ...['--set', `authority.leafLifetime=${LEAF_LIFETIME}`, '--wait', '--timeout', '120s'],
];
const WORKLOADS = ['client', 'visitor', 'called', 'pipe'];
const CALLED = 'http://called:8080/';
const PARTNER = 'west.example';

/** Answers who called. */
const WHO_SERVER = `
import http from 'node:http';
http.createServer((request, response) => response.end(request.headers['x-forwarded-client-cert'] ?? 'nobody')).listen(8080, '0.0.0.0');
process.once('SIGTERM', () => process.exit());
`;
const ECHO_SERVER = `
import net from 'node:net';
net.createServer((socket) => socket.on('error', () => {}).pipe(socket)).listen(9000, '0.0.0.0');
process.once('SIGTERM', () => process.exit());
`;
/** From `lateral proxies --json`, what is asked for here. */
interface Proxy {
  readonly state: string;
  readonly workload: { readonly name: string };
  readonly certificate: { readonly serial: string; readonly trustedRoots: readonly string[] } | null;
  readonly plaintext: { readonly callers: readonly { readonly owner: { readonly name: string } | null }[] } | null;
}

async function proxies(): Promise<readonly Proxy[]> {
  const { code, stdout, stderr } = await lateral('proxies', NAMESPACE, '--json');
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout).proxies;
}

async function authority() {
  const { code, stdout, stderr } = await lateral('ca', 'status', '--json');
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as {
    readonly stage: string;
    readonly roots: readonly { readonly role: string; readonly fingerprint: string }[];
  };
}

const ownRoot = async () => (await authority()).roots.find(({ role }) => role === 'own')?.fingerprint ?? '';
const allCurrent = (all: readonly Proxy[]) => all.length > 0 && all.every(({ state }) => state === 'current');
const call = (target: string) => callFrom(target, 'GET', CALLED, { namespace: NAMESPACE });
const fromOutside = (url: string) => callFrom('pod/outsider', 'GET', url, { namespace: OUTSIDE });

/** The texts of a Secret of the root namespace. */
async function secret(name: string): Promise<Readonly<Record<string, string>>> {
  const { data = {} } = JSON.parse(await kubectl('get', 'secret', name, '-n', ROOT, '-o', 'json'));
  return Object.fromEntries(
    Object.entries(data).map(([key, text]) => [key, Buffer.from(String(text), 'base64').toString()]),
  );
}

/** Puts a mode in force for the called workload; resolves once its callers know of it too. */
async function setMode(mode: 'STRICT' | 'PERMISSIVE' | 'DISABLE'): Promise<void> {
  await apply(`apiVersion: lateral.dev/v1alpha1
kind: PeerAuthentication
metadata: {name: called, namespace: ${NAMESPACE}}
spec: {selector: {matchLabels: {app: called}}, mtls: {mode: ${mode}}}
`);
  await until('Programmed', modeConditions, ({ Programmed }) => Programmed?.startsWith('True 1 of 1') === true, 20_000);
  await until('all are current', proxies, allCurrent, 20_000);
}

/** Status and message of each condition that is about the object as it is now. */
async function modeConditions(): Promise<Readonly<Record<string, string>>> {
  const text = await kubectl('get', 'peerauthentications.lateral.dev', 'called', '-n', NAMESPACE, '-o', 'json');
  const { metadata, status } = JSON.parse(text);
  const conditions: { type: string; status: string; message: string; observedGeneration: number }[] =
    status?.conditions ?? [];
  return Object.fromEntries(
    conditions
      .filter(({ observedGeneration }) => observedGeneration === metadata.generation)
      .map((one) => [one.type, `${one.status} ${one.message}`]),
  );
}

/** Why the called workload refused a connection with this code, by its access log. */
async function refusal(code: string): Promise<string> {
  const log = ['logs', '-n', NAMESPACE, 'deploy/called', '-c', 'lateral-sidecar', '--since=30s'];
  const refused = async (): Promise<readonly { readonly reason: string }[]> =>
    (await kubectl(...log))
      .split('\n')
      .filter((line) => line.includes(`"code":"${code}"`))
      .map((line) => JSON.parse(line))
      .filter(({ direction, decision }) => direction === 'inbound' && decision === 'deny');
  const [first] = await until(`the log has ${code}`, refused, (lines) => lines.length > 0, 10_000);
  return first?.reason ?? '';
}

async function losesNothing(t: Test, load: Load): Promise<void> {
  const { outcomes, failures } = await load.finish();
  t.comment(JSON.stringify(outcomes));
  t.strictSame(failures, []);
  t.strictSame(Object.keys(outcomes), ['200']);
  t.ok((outcomes['200'] ?? 0) > 500);
}

t.test('the mesh, with certificates of the shortest life, and workloads', async (t) => {
  await helm('install', 'lateral', 'helm/lateral', '-n', ROOT, '--create-namespace', ...CHART);
  const labels = { 'lateral.dev/inject': 'enabled' };
  await apply(JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE, labels } }));
  const callers = ['client', 'visitor', 'late'];
  const shared = { namespace: NAMESPACE, callers };
  await apply(manifests({ ...shared, name: 'client' }));
  await apply(manifests({ ...shared, name: 'visitor' }));
  await apply(manifests({ ...shared, name: 'called', script: WHO_SERVER, port: 8080, portName: 'http' }));
  await apply(manifests({ ...shared, name: 'pipe', script: ECHO_SERVER, port: 9000, portName: 'tcp' }));
  await startOutsider();
  await Promise.all(WORKLOADS.map((name) => rolledOut(NAMESPACE, name)));
  for (const name of ['client', 'visitor']) {
    // that an endpoint is ready is known to kubectl a moment before it is to the sidecars of callers
    const isItself = ({ body }: { readonly body: string }) =>
      body.includes(`URI=spiffe://cluster.local/ns/identity/sa/${name}`);
    await until('a call', () => call(`deploy/${name}`), isItself, 10_000);
  }
  t.pass('callers are known');
});

t.test('a workload goes to DISABLE and back to STRICT under load without a failed request', async (t) => {
  // who calls in plaintext is nobody: a rule that asks for no identity is needed
  await apply(`apiVersion: lateral.dev/v1alpha1
kind: AuthorizationPolicy
metadata: {name: anybody, namespace: ${NAMESPACE}}
spec: {selector: {matchLabels: {app: called}}, rules: [{to: [{operation: {methods: [GET]}}]}]}
`);
  const load = await Load.begin('deploy/client', CALLED, { namespace: NAMESPACE });
  const [pod] = await list('pods', NAMESPACE, 'app=called');
  const url = `http://${pod?.status.podIP}:8080/`;
  t.equal((await fromOutside(url)).status, 0, 'STRICT takes no plaintext');

  await setMode('PERMISSIVE');
  t.match(await fromOutside(url), { status: 200, body: 'nobody' });
  t.match((await call('deploy/visitor')).body, /sa\/visitor/, 'callers of the mesh go on by mutual TLS');
  t.match(await modeConditions(), {
    Accepted: 'True The resource is in force.',
    Programmed: /^True 1 of 1 /,
    MatchedWorkloads: /^True 1 /,
  });

  await setMode('DISABLE');
  await until(
    'plaintext',
    () => call('deploy/visitor'),
    ({ body }) => body === 'nobody',
    20_000,
  );
  t.match(await lateral('check', '--cluster', '-n', NAMESPACE), {
    code: 0,
    stdout: /PeerAuthentication\/identity\/called.* plaintext_alone /,
  });
  const callersOf = (all: readonly Proxy[]) =>
    all.flatMap(({ plaintext }) => plaintext?.callers ?? []).map(({ owner }) => owner?.name.replace(/-.*/, ''));
  const named = ['client', 'outsider', 'visitor'];
  await until(
    'who calls in plaintext',
    async () => callersOf(await proxies()).sort(),
    (names) => `${names}` === `${named}`,
  );
  t.match(
    (await lateral('proxies', NAMESPACE)).stdout,
    / was called in plaintext; STRICT would refuse:\n {2}\S+\/\S+ \(/,
  );

  await setMode('PERMISSIVE');
  await until(
    'mutual TLS',
    () => call('deploy/visitor'),
    ({ body }) => /sa\/visitor/.test(body),
    20_000,
  );
  await setMode('STRICT');
  t.match((await call('deploy/visitor')).body, /sa\/visitor/);
  t.equal((await fromOutside(url)).status, 0, 'STRICT takes no plaintext');
  await losesNothing(t, load);
  const logs = await Promise.all(
    WORKLOADS.map((name) => kubectl('logs', '-n', NAMESPACE, `deploy/${name}`, '-c', 'lateral-sidecar', '--tail=-1')),
  );
  const lost = logs.flatMap((log) => log.split('\n')).filter((line) => line.includes('"control_plane_lost"'));
  t.strictSame(lost, [], 'no sidecar lost its control plane since it started');
  await kubectl(
    'delete',
    '-n',
    NAMESPACE,
    'peerauthentications.lateral.dev/called',
    'authorizationpolicies.lateral.dev/anybody',
  );
});

/** Of the old root, and the certificates under it, before the new root signs. */
const before = { root: '', serials: new Set<string>() };
let load: Load | undefined;

t.test('a new root is trusted by all, and signs', async (t) => {
  t.match((await lateral('ca', 'status')).stdout, /\nthe root is not being changed\n/);
  before.root = await ownRoot();
  before.serials = new Set((await proxies()).map(({ certificate }) => certificate?.serial ?? ''));
  const files = ['ca-cert.pem', 'ca-key.pem', 'cert-chain.pem', 'root-cert.pem', 'root-key.pem'];
  t.strictSame(Object.keys(await secret('lateral-ca')).sort(), files);
  load = await Load.begin('deploy/client', CALLED, { namespace: NAMESPACE });
  const rotated = await lateral('ca', 'rotate', '--wait', '--timeout', '2m');
  t.equal(rotated.code, 0, rotated.stderr);
  t.match(rotated.stderr, /^trusting: since /);
  t.comment(rotated.stderr.trim());
  t.match(rotated.stdout, /^signing: certificates are signed under the new root/);
  const { stage, roots } = await until('facts', authority, ({ roots }) => roots.length === 2, 10_000);
  t.equal(stage, 'signing');
  t.strictSame(
    roots.map(({ role }) => role),
    ['own', 'former'],
  );
  t.equal(roots[1]?.fingerprint, before.root);
  const both = roots.map(({ fingerprint }) => fingerprint).sort();
  for (const { certificate, workload } of await until('all are current', proxies, allCurrent)) {
    t.strictSame([...(certificate?.trustedRoots ?? [])].sort(), both, `${workload.name} trusts both`);
  }
  const again = await lateral('ca', 'rotate');
  t.equal(again.code, 1);
  t.match(again.stderr, /is under way/);
});

t.test('a revoked identity is cut off within a second, and let in again', async (t) => {
  const watch = Watch.begin('deploy/visitor', CALLED, 'pipe:9000', NAMESPACE);
  t.teardown(() => watch.end());
  await watch.saw(/^http 200$/);
  await watch.saw(/^tcp open$/);
  t.strictSame(
    watch
      .changes()
      .map(({ outcome }) => outcome)
      .sort(),
    ['http 200', 'tcp open'],
  );

  const askedMs = Date.now();
  t.equal((await lateral('ca', 'revoke', '--identity', `${NAMESPACE}/visitor`)).code, 0);
  const revokedMs = Date.now();
  const cut = [await watch.saw(/^http (?!200)/, askedMs), await watch.saw(/^tcp closed$/, askedMs)];
  t.comment(`cut off ${cut.map((atMs) => atMs - revokedMs)} ms after the command`);
  for (const atMs of cut) t.ok(atMs < revokedMs + REVOKED_WITHIN_MS, `${atMs - revokedMs} ms after the command`);
  t.match(await call('deploy/visitor'), { status: 503 });
  t.match(
    await refusal('certificate_revoked'),
    /: spiffe:\/\/cluster\.local\/ns\/identity\/sa\/visitor was revoked at /,
  );
  t.notOk(
    (await proxies()).some(({ workload }) => workload.name.startsWith('visitor')),
    'nor is it served policies',
  );
  t.match((await lateral('ca', 'list')).stdout, /identity +spiffe:\/\/cluster\.local\/ns\/identity\/sa\/visitor /);
  t.notOk(watch.changes(revokedMs + REVOKED_WITHIN_MS).some(({ outcome }) => outcome === 'http 200'));

  const reinstatingMs = Date.now();
  t.equal((await lateral('ca', 'reinstate', '--identity', `${NAMESPACE}/visitor`)).code, 0);
  await watch.saw(/^http 200$/, reinstatingMs);
  t.match((await lateral('ca', 'list')).stderr, /nothing is revoked/);
});

t.test(
  'the chart names another mesh, whose identities are believed by the roots that its endpoint tells',
  async (t) => {
    const partner = new ForeignMesh(PARTNER);
    await partner.serveBundle();
    const web = partner.leaf(`spiffe://${PARTNER}/ns/shop/sa/web`);
    const [pod] = await list('pods', NAMESPACE, 'app=called');
    const foreignCall = () => tlsCall(pod?.status.podIP, 8080, web);
    t.equal((await foreignCall()).status, 0);
    t.match(await refusal('foreign_trust_domain'), /west\.example/);

    const values = JSON.stringify({ federation: [partner.entry] });
    const upgrade = ['upgrade', 'lateral', 'helm/lateral', '-n', ROOT, '--reuse-values', '--wait', '--timeout', '120s'];
    await succeed('helm', [...upgrade, '--set', 'bundleEndpoint.enabled=true', '-f', '-'], values);
    await until('it is believed', foreignCall, ({ status }) => status === 403, 20_000);
    await apply(`apiVersion: lateral.dev/v1alpha1
kind: AuthorizationPolicy
metadata: {name: partner, namespace: ${NAMESPACE}}
spec:
  selector: {matchLabels: {app: called}}
  rules: [{from: [{source: {principals: [${PARTNER}/ns/shop/sa/web]}}]}]
`);
    const allowed = await until('it is allowed', foreignCall, ({ status }) => status === 200, 10_000);
    t.match(allowed.text, /URI=spiffe:\/\/west\.example\/ns\/shop\/sa\/web/);
    const other = partner.leaf(`spiffe://${PARTNER}/ns/shop/sa/other`);
    t.equal((await tlsCall(pod?.status.podIP, 8080, other)).status, 403, 'and no other of it');
    const posing = partner.leaf(`spiffe://cluster.local/ns/${NAMESPACE}/sa/client`);
    t.equal((await tlsCall(pod?.status.podIP, 8080, posing)).status, 0, 'its root vouches for nobody of this mesh');

    const bundle = await tlsCall(`lateral-control-plane.${ROOT}`, 15013);
    t.equal(bundle.peer, `URI:spiffe://cluster.local/ns/${ROOT}/sa/control-plane`);
    const published: { readonly keys: readonly { readonly use: string; readonly x5c: readonly string[] }[] } =
      JSON.parse(bundle.text);
    const prints = published.keys.map(({ x5c }) => printOf(Buffer.from(x5c[0] ?? '', 'base64')));
    t.strictSame(prints.sort(), (await authority()).roots.map(({ fingerprint }) => fingerprint).sort());
  },
);

t.test('once all have certificates under the new root the old one is ended, and no request failed', async (t) => {
  const isRenewed = ({ certificate }: Proxy) => certificate !== null && !before.serials.has(certificate.serial);
  await until(
    'all are renewed',
    proxies,
    (all) => all.length === WORKLOADS.length && all.every(isRenewed),
    RENEWED_WITHIN_MS,
  );
  const early = await lateral('ca', 'finish');
  t.equal(early.code, 1);
  t.match(early.stderr, /are good until .*--force/);
  t.equal((await lateral('ca', 'finish', '--force')).code, 0);
  const { stage, roots } = await until('it is over', authority, ({ roots }) => roots.length === 1, 10_000);
  t.equal(stage, 'none');
  const root = roots[0]?.fingerprint ?? '';
  t.not(root, before.root);
  const trustNew = ({ certificate, state }: Proxy) => state === 'current' && `${certificate?.trustedRoots}` === root;
  await until('all trust it alone', proxies, (all) => all.length === WORKLOADS.length && all.every(trustNew), 20_000);
  t.equal(printOf((await secret('lateral-ca'))['root-cert.pem'] ?? ''), root);
  const former = JSON.stringify(await secret('lateral-former-authorities'));
  t.notMatch(former, /PRIVATE KEY|"rotation":\{/);
  if (load !== undefined) await losesNothing(t, load);
});

t.test('after the change pods join, and one of before comes back', async (t) => {
  await apply(manifests({ namespace: NAMESPACE, name: 'late' }));
  await rolledOut(NAMESPACE, 'late');
  t.match((await call('deploy/late')).body, /URI=spiffe:\/\/cluster\.local\/ns\/identity\/sa\/late/);
  const [client] = await list('pods', NAMESPACE, 'app=client');
  await restartSidecar(NAMESPACE, client?.metadata.name ?? '');
  await until(
    'calls',
    () => call('deploy/client'),
    ({ status }) => status === 200,
    10_000,
  );
});

t.test('all of it is removed', async () => {
  await kubectl('delete', 'namespace', NAMESPACE, OUTSIDE, '--wait=true', '--timeout=120s');
  await helm('uninstall', 'lateral', '-n', ROOT, '--wait', '--timeout', '120s');
  await kubectl('delete', 'namespace', ROOT, '--wait=true', '--timeout=60s');
});

function printOf(certificate: string | Buffer): string {
  return new X509Certificate(certificate).fingerprint256.replaceAll(':', '').toLowerCase();
}
