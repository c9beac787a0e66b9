import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { type CallOutcome, callFrom } from './calls.ts';
import { apply, get, helm, kubectl, lateral, run, until } from './cluster-tools.ts';
import { manifests, rolledOut } from './workloads.ts';

/** Authorization beyond callers and paths: Services as targets, tokens, conditions, a provider that is asked, trials, reasons. */
const ROOT = 'lateral-system';
const NAMESPACE = 'authz';
const CHART = [
  ...['--set', 'image.repository=localhost/lateral', '--set', 'image.tag=dev'],
  ...['--set', 'image.pullPolicy=IfNotPresent'],
];
const MESH_DEFAULTS = {
  authorization: { denialAlerts: { refusals: 10 } },
  extensionProviders: [
    {
      name: 'gate',
      envoyExtAuthzHttp: { service: `gate.${NAMESPACE}`, port: 8080, includeRequestHeadersInCheck: ['x-pass'] },
    },
  ],
};
/** A policy change must be in force within this. */
const PROPAGATION_MS = 10_000;

/** Answers with what it was told of the token. */
const APP = `
import http from 'node:http';
http.createServer((request, response) => response.end('tenant ' + request.headers['x-tenant'] + ' ' + request.headers['x-gate']))
  .listen(8080, '0.0.0.0');
process.once('SIGTERM', () => process.exit());
`;
/** Lets through whoever says x-pass: yes; it is part of the mesh, so that it is asked by mutual TLS. */
const GATE = `
import http from 'node:http';
http.createServer((request, response) => {
  const isFromSidecar = /URI=spiffe:\\/\\/cluster.local\\/ns\\/authz\\/sa\\/orders/.test(request.headers['x-forwarded-client-cert'] ?? '');
  response.statusCode = isFromSidecar && request.headers['x-pass'] === 'yes' ? 200 : 403;
  response.end();
}).listen(8080, '0.0.0.0');
process.once('SIGTERM', () => process.exit());
`;
/** Signs whatever it is asked for: an issuer outside of the mesh, which sidecars fetch keys from. */
const ISSUER = `
import http from 'node:http';
import { generateKeyPairSync, sign } from 'node:crypto';
const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const jwks = JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: '1', use: 'sig', alg: 'ES256' }] });
const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
http.createServer((request, response) => {
  const url = new URL(request.url, 'http://issuer');
  if (url.pathname === '/jwks') return response.end(jwks);
  const claims = { iss: 'http://issuer.authz', sub: 'user', exp: Math.floor(Date.now() / 1000) + 600, ...Object.fromEntries([...url.searchParams].map(([name, value]) => [name, name === 'exp' ? Number(value) : value])) };
  const signed = part({ alg: 'ES256', kid: '1' }) + '.' + part(claims);
  response.end(signed + '.' + sign('sha256', Buffer.from(signed), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url'));
}).listen(8080, '0.0.0.0');
process.once('SIGTERM', () => process.exit());
`;

const SELECTOR = { matchLabels: { app: 'orders' } };
const TARGET = [{ kind: 'Service', name: 'orders' }];

function policy(kind: string, name: string, spec: object): object {
  return { apiVersion: 'lateral.dev/v1alpha1', kind, metadata: { name, namespace: NAMESPACE }, spec };
}

const TOKENS = policy('RequestAuthentication', 'tokens', {
  selector: SELECTOR,
  jwtRules: [
    {
      issuer: 'http://issuer.authz',
      jwksUri: 'http://issuer.authz:8080/jwks',
      outputClaimToHeaders: [{ header: 'x-tenant', claim: 'tenant' }],
    },
  ],
});
const OWN_TENANT = policy('AuthorizationPolicy', 'own-tenant', {
  targetRefs: TARGET,
  rules: [
    {
      to: [{ operation: { paths: ['/tenants/{*}/orders'] } }],
      condition: "jwt.tenant == request.path.split('/')[2]",
    },
  ],
});
const NO_DELETES = policy('AuthorizationPolicy', 'no-deletes', {
  targetRefs: TARGET,
  action: 'DENY',
  rules: [{ to: [{ operation: { methods: ['DELETE'] } }] }],
});
const ASK_GATE = policy('AuthorizationPolicy', 'ask-gate', {
  selector: SELECTOR,
  action: 'CUSTOM',
  provider: { name: 'gate' },
  rules: [{ to: [{ operation: { paths: ['/admin'] } }] }],
});
const ON_TRIAL = policy('AuthorizationPolicy', 'no-reports', {
  selector: SELECTOR,
  mode: 'Audit',
  action: 'DENY',
  rules: [{ to: [{ operation: { paths: ['/reports'] } }] }],
});
const ALL = [TOKENS, OWN_TENANT, NO_DELETES, ASK_GATE, ON_TRIAL];

function call(method: string, path: string, headers: object = {}): Promise<CallOutcome> {
  return callFrom('deploy/client', method, `http://orders:8080${path}`, { namespace: NAMESPACE, headers });
}

async function outcome(method: string, path: string, headers: object = {}): Promise<string> {
  const { status, code, body } = await call(method, path, headers);
  return code === '' ? `${status} ${body}` : `${status} ${code}`;
}

async function bearer(claims: string): Promise<object> {
  const token = await callFrom('deploy/client', 'GET', `http://issuer:8080/?${claims}`, { namespace: NAMESPACE });
  return { authorization: `Bearer ${token.body}` };
}

function log(): Promise<string> {
  return kubectl('logs', '-n', NAMESPACE, 'deploy/orders', '-c', 'lateral-sidecar', '--tail', '-1');
}

t.test('a mesh with a provider, an issuer outside of it, and a service', async (t) => {
  await kubectl('create', 'namespace', ROOT);
  const values = ['--set-json', `meshDefaults=${JSON.stringify(MESH_DEFAULTS)}`, '--wait', '--timeout', '120s'];
  await helm('install', 'lateral', 'helm/lateral', '-n', ROOT, ...CHART, ...values);
  await kubectl('create', 'namespace', NAMESPACE);
  await kubectl('label', 'namespace', NAMESPACE, 'lateral.dev/inject=enabled');
  const workload = (name: string, script: string, more: object = {}) =>
    apply(manifests({ namespace: NAMESPACE, name, script, port: 8080, portName: 'http', ...more }));
  await apply(manifests({ namespace: NAMESPACE, name: 'client' }));
  await workload('orders', APP);
  await workload('gate', GATE, { callers: ['orders'] });
  await workload('issuer', ISSUER, { annotations: { 'lateral.dev/inject': 'false' } });
  await Promise.all(['client', 'orders', 'gate', 'issuer'].map((name) => rolledOut(NAMESPACE, name)));
  await until(
    'a first call',
    () => outcome('GET', '/'),
    (seen) => seen.startsWith('200'),
    PROPAGATION_MS,
  );
  // from now on only what the policies below say
  await kubectl('delete', 'authorizationpolicies.lateral.dev', '-n', NAMESPACE, 'orders');
  const allow = policy('AuthorizationPolicy', 'client', {
    selector: SELECTOR,
    rules: [
      {
        from: [{ source: { principals: ['cluster.local/ns/authz/sa/client'] } }],
        to: [{ operation: { paths: ['/public', '/admin', '/reports'] } }],
      },
    ],
  });
  await apply(JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [...ALL, allow] }));
  const refused = 'authorization_denied';
  await until(
    'DENY',
    () => outcome('DELETE', '/public'),
    (seen) => seen === `403 ${refused}`,
    PROPAGATION_MS,
  );
  t.equal(await outcome('GET', '/public'), '200 tenant undefined undefined');
});

t.test('a policy that targets a Service binds its Pods, and says so', async (t) => {
  const { status } = await until(
    'the status',
    () => get('authorizationpolicies.lateral.dev', 'no-deletes', NAMESPACE),
    ({ status }) =>
      status?.conditions?.some(
        ({ type, status }: { type: string; status: string }) => type === 'Programmed' && status === 'True',
      ),
  );
  t.match(
    status.conditions.find(({ type }: { type: string }) => type === 'MatchedWorkloads'),
    { status: 'True', message: '1 Pods of namespace authz are bound.' },
  );
  const elsewhere = {
    ...NO_DELETES,
    metadata: { name: 'lost', namespace: NAMESPACE },
    spec: { targetRefs: [{ kind: 'Service', name: 'ordrs' }] },
  };
  const { stderr } = await run('kubectl', ['apply', '--dry-run=server', '-f', '-'], JSON.stringify(elsewhere));
  t.match(stderr, /Warning: .*no_workload binds no workload: Service ordrs selects no Pod of namespace authz/);
});

t.test("tokens of an issuer, and a claim held against the request's path", async (t) => {
  const red = await bearer('tenant=red');
  await until(
    'keys',
    () => outcome('GET', '/tenants/red/orders', red),
    (seen) => seen.startsWith('200'),
    PROPAGATION_MS,
  );
  t.equal(await outcome('GET', '/tenants/red/orders', red), '200 tenant red undefined');
  t.equal(await outcome('GET', '/tenants/blue/orders', red), '403 authorization_not_allowed');
  t.match(await outcome('GET', '/tenants/red/orders'), /^403 authorization_(not_allowed|condition_failed)/);
  t.equal(await outcome('GET', '/public', { authorization: 'Bearer a.b.c' }), '401 jwt_malformed');
  t.equal(await outcome('GET', '/public', await bearer('iss=http://other')), '401 jwt_issuer_unknown');
  t.equal(await outcome('GET', '/public', await bearer('exp=1')), '401 jwt_expired');
});

t.test('a provider in the mesh is asked by mutual TLS', async (t) => {
  t.match(await outcome('GET', '/admin', { 'x-pass': 'yes' }), /^200/);
  t.equal(await outcome('GET', '/admin', { 'x-pass': 'no' }), '403 ', "the provider's own answer");
  await kubectl('scale', '-n', NAMESPACE, 'deploy/gate', '--replicas=0');
  const away = '403 authorization_provider_unavailable';
  await until(
    'refused while it is away',
    () => outcome('GET', '/admin', { 'x-pass': 'yes' }),
    (seen) => seen === away,
  );
  t.match(await outcome('GET', '/public'), /^200/, 'nobody is asked about others');
  await kubectl('scale', '-n', NAMESPACE, 'deploy/gate', '--replicas=1');
  await until(
    'it is back',
    () => outcome('GET', '/admin', { 'x-pass': 'yes' }),
    (seen) => seen.startsWith('200'),
  );
});

t.test('why: by the ID that the caller has', async (t) => {
  const { decisionId, body } = await call('GET', '/tenants/blue/orders', await bearer('tenant=red'));
  t.notMatch(body, /own-tenant|red/, 'the caller learns the code alone');
  const { stdout } = await until(
    'the record',
    () => lateral('explain', decisionId),
    ({ code }) => code === 0,
  );
  t.match(stdout, /authz\/own-tenant/);
  t.match(stdout, /condition/);
});

t.test('a policy on trial refuses nothing, and its log replayed says what it would', async (t) => {
  t.match(await outcome('GET', '/reports'), /^200/);
  const folder = await mkdtemp(join(tmpdir(), 'replay-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const lines = (await log()).split('\n').filter((line) => line.includes('"decision":'));
  t.match(
    lines.find((line) => line.includes('"/reports"')),
    /"decision":"audit"/,
  );
  await writeFile(join(folder, 'access.jsonl'), `${lines.join('\n')}\n`);
  const enforced = {
    ...ON_TRIAL,
    spec: { selector: SELECTOR, action: 'DENY', rules: [{ to: [{ operation: { paths: ['/reports'] } }] }] },
  };
  const yaml = [...ALL.filter((one) => one !== ON_TRIAL && one !== ASK_GATE), enforced]
    .map((one) => JSON.stringify(one))
    .join('\n---\n');
  await writeFile(join(folder, 'policies.yaml'), yaml);
  const { stdout, stderr } = await lateral(
    ...['replay', '--log', join(folder, 'access.jsonl'), '--policies', join(folder, 'policies.yaml'), '--json'],
  );
  t.match(stdout, /authz\/no-reports/, stderr);
});

t.test('rules that decided are known, and one that did not', async (t) => {
  const { stdout } = await until(
    'the counts',
    () => lateral('rules', NAMESPACE, '--json'),
    ({ stdout }) => /"policy":\s*"authz\/no-deletes"[^}]*"matches":\s*[1-9]/.test(stdout),
    30_000,
  );
  t.match(stdout, /authz\/own-tenant/);
});

t.test('a caller that is refused again and again raises one event', async (t) => {
  for (let index = 0; index < 12; index++) await call('GET', `/secret/${index}`);
  const seen = await until('the event', log, (text) => text.includes('caller_refused_often'), 20_000);
  t.match(seen, /"event":"caller_refused_often".*ns\/authz\/sa\/client/);
  t.equal(seen.split('"caller_refused_often"').length, 2, 'one');
});

t.test('all of it is removed', async () => {
  await kubectl('delete', 'namespace', NAMESPACE, '--wait=true', '--timeout=120s');
  await helm('uninstall', 'lateral', '-n', ROOT, '--wait', '--timeout', '120s');
  await kubectl('delete', 'namespace', ROOT, '--wait=true', '--timeout=60s');
});
