import t from 'tap';
import type { ConfigMapText } from '#control-plane/kubernetes/resources/cluster-view.ts';
import type { JudgedResource } from '#control-plane/kubernetes/resources/mesh-resources.ts';
import { conditionsOf, workloadsOf } from '#control-plane/kubernetes/status/conditions.ts';
import { MESH } from '../control-plane-fixture.ts';
import { TestCluster } from './cluster-fixture.ts';

const ISTIO = { group: 'security.istio.io' };
const UNREADABLE = [{ when: [{ key: 'experimental.envoy.filters.a[b]', values: ['c'] }] }];
const SELECTOR = { matchLabels: { app: 'orders' } };

function accepted(cluster: TestCluster, key: string): string | undefined {
  const judged: JudgedResource | undefined = cluster.state.resources.get(key);
  if (judged === undefined) throw new Error(`no ${key}`);
  const workloads = workloadsOf(judged, cluster.state);
  const conditions = conditionsOf(judged, [], workloads, MESH.rootNamespace);
  return conditions?.find(({ type }) => type === 'Accepted')?.message;
}

t.test('what never was good stands in as the strictest that it could have meant', async (t) => {
  const cases: readonly [string, string, unknown, unknown, RegExp][] = [
    [
      'AuthorizationPolicy',
      'an ALLOW allows nothing',
      { action: 'ALLOW', rules: UNREADABLE, selector: SELECTOR },
      { selector: SELECTOR, action: 'ALLOW' },
      /it allows nothing/,
    ],
    [
      'AuthorizationPolicy',
      'so does one without an action',
      { rules: UNREADABLE },
      { action: 'ALLOW' },
      /it allows nothing/,
    ],
    [
      'AuthorizationPolicy',
      'a DENY refuses everything',
      { action: 'DENY', rules: UNREADABLE, selector: SELECTOR },
      { selector: SELECTOR, action: 'DENY', rules: [{}] },
      /refuse everything/,
    ],
    [
      'AuthorizationPolicy',
      'so does a CUSTOM',
      { action: 'CUSTOM', provider: { name: 'x' }, rules: UNREADABLE },
      { action: 'DENY', rules: [{}] },
      /refuse everything/,
    ],
    [
      'AuthorizationPolicy',
      'and a word that may have been DENY',
      { action: 'DNEY', rules: [{}] },
      { action: 'DENY', rules: [{}] },
      /refuse everything/,
    ],
    [
      'AuthorizationPolicy',
      'its namespace, where the selector cannot be read',
      { action: 'ALLOW', rules: UNREADABLE, selector: { matchLabels: { app: 1 } } },
      { action: 'ALLOW' },
      /it allows nothing/,
    ],
    [
      'PeerAuthentication',
      'mutual TLS is strict',
      { mtls: { mode: 'STRIKT' }, selector: SELECTOR },
      { selector: SELECTOR, mtls: { mode: 'STRICT' } },
      /mutual TLS alone/,
    ],
    [
      'RequestAuthentication',
      'no token is good',
      { jwtRules: [{ issuer: 'x', jwks: 'none' }], selector: SELECTOR },
      { selector: SELECTOR, jwtRules: [{ issuer: 'none, until the resource is mended', jwks: '{"keys":[]}' }] },
      /accept no tokens but by other resources/,
    ],
  ];
  for (const group of [ISTIO, {}]) {
    for (const [kind, title, spec, wanted, message] of cases) {
      const cluster = new TestCluster({ meshDefaults: { authorization: { default: 'Allow' } } });
      const key = cluster.resource(kind, 'x', spec, group);
      t.strictSame(cluster.inForce()[`${kind}/shop/x`], wanted, title);
      t.match(accepted(cluster, key), message);
    }
  }
});

t.test('what enforces nothing, good or not, has nothing that stands in for it', async (t) => {
  const cluster = new TestCluster();
  cluster.resource('AuthorizationPolicy', 'audit', { action: 'AUDIT', rules: UNREADABLE }, ISTIO);
  const metadata = { annotations: { 'istio.io/dry-run': 'true' } };
  cluster.resource('AuthorizationPolicy', 'dry', { action: 'DENY', rules: UNREADABLE }, { ...ISTIO, metadata });
  cluster.resource('AuthorizationPolicy', 'tried', { mode: 'Audit', action: 'DENY', rules: UNREADABLE });
  cluster.resource('AuthorizationPolicy', 'gateway', { targetRefs: [{ name: 'x' }], rules: UNREADABLE }, ISTIO);
  cluster.resource('RequestAuthentication', 'gateway', { targetRefs: [{ name: 'x' }], jwtRules: 1 }, ISTIO);
  t.strictSame(cluster.inForce(), {});
});

t.test('a mode that Istio does not know does not take away what stands in for a policy of Istio', async (t) => {
  const cluster = new TestCluster();
  cluster.resource('AuthorizationPolicy', 'x', { mode: 'Audit', action: 'DENY', rules: UNREADABLE }, ISTIO);
  t.strictSame(cluster.inForce(), { 'AuthorizationPolicy/shop/x': { action: 'DENY', rules: [{}] } });
});

t.test('one that was good keeps its last good form, whatever stands in after a restart', async (t) => {
  const cluster = new TestCluster();
  const good = { action: 'ALLOW', rules: [{}] };
  cluster.resource('AuthorizationPolicy', 'x', good, ISTIO);
  cluster.inForce();
  cluster.resource('AuthorizationPolicy', 'x', { action: 'ALLOW', rules: UNREADABLE }, ISTIO);
  t.strictSame(cluster.inForce()['AuthorizationPolicy/shop/x'], good);
  cluster.resource('AuthorizationPolicy', 'x', { rules: [] });
  t.strictSame(
    cluster.inForce(),
    {
      'AuthorizationPolicy/shop/x': { rules: [] },
      'AuthorizationPolicy/shop/x.security.istio.io': good,
    },
    'under another name, once lateral.dev has one of that name',
  );
  const restarted = new TestCluster();
  restarted.resource('AuthorizationPolicy', 'x', { action: 'ALLOW', rules: UNREADABLE }, ISTIO);
  t.strictSame(restarted.inForce(), { 'AuthorizationPolicy/shop/x': { action: 'ALLOW' } });
});

t.test('twins of two groups are both in force, however long their name', async (t) => {
  for (const name of ['n'.repeat(253), `${'n'.repeat(217)}-1.1-${'n'.repeat(20)}`]) {
    const cluster = new TestCluster();
    cluster.resource('AuthorizationPolicy', name, { rules: [{}] });
    cluster.resource('AuthorizationPolicy', name, { rules: [{}] }, ISTIO);
    const keys = Object.keys(cluster.inForce());
    t.equal(keys.length, 2);
  }
});

t.test('a write of the status alone is no change; one of the spec is judged, and whatever refers to it', async (t) => {
  const cluster = new TestCluster();
  const spec = { hosts: ['api.example.com'], endpoints: [{ address: '10.0.0.1', port: 1, plaintext: true }] };
  const key = cluster.resource('MeshService', 'a', spec);
  t.ok(cluster.state.refresh());
  const object = cluster.state.resources.get(key)?.object;
  if (object === undefined) throw new Error('no object');
  const metadata = { ...object.metadata, resourceVersion: 'other' };
  cluster.state.resourceChanged(key, { ...object, metadata, status: { conditions: [{ type: 'Accepted' }] } });
  t.notOk(cluster.state.refresh());
  t.strictSame(
    cluster.state.resources.get(key)?.object.status.conditions,
    [{ type: 'Accepted' }],
    'and yet it is kept',
  );
  const younger = cluster.resource('MeshService', 'b', spec);
  cluster.state.refresh();
  t.match(cluster.state.resources.get(younger)?.problems, [{ code: 'duplicate_host' }]);
  cluster.resource('MeshService', 'a', { ...spec, hosts: ['other.example.com'] });
  t.ok(cluster.state.refresh());
  t.strictSame(cluster.state.resources.get(younger)?.problems, []);
});

t.test(
  'a MeshService whose host turns out to be of another namespace is out of force, though it was good',
  async (t) => {
    const cluster = new TestCluster();
    const endpoints = [{ address: '10.0.0.1', port: 1, plaintext: true }];
    const key = cluster.resource('MeshService', 'mine', { hosts: ['api.later'], endpoints });
    t.ok(cluster.inForce()['MeshService/shop/mine']);
    cluster.state.namespaceChanged('later', true);
    t.strictSame(cluster.inForce(), {});
    t.match(cluster.state.resources.get(key)?.problems, [{ code: 'foreign_host' }]);
  },
);

t.test('an object that makes the judge fail is broken itself, and no other', async (t) => {
  const cluster = new TestCluster({
    configMapText: () => {
      throw new Error('a fault of ours');
    },
  });
  const key = cluster.resource('APISchema', 'bad', { openapi: { configMapRefs: [{ name: 'x', key: 'k' }] } });
  cluster.resource('AuthorizationPolicy', 'good', { rules: [{}] });
  t.strictSame(Object.keys(cluster.inForce()), ['AuthorizationPolicy/shop/good']);
  t.match(accepted(cluster, key), /It is not in force\. .*a fault of ours/);
});

t.test('a policy is in force as soon as the ConfigMap of its schema is there', async (t) => {
  let text: ConfigMapText = { kind: 'missing', reason: 'it is not there' };
  const cluster = new TestCluster({ configMapText: () => text });
  cluster.resource('APISchema', 'orders', { openapi: { configMapRefs: [{ name: 'api', key: 'k' }] } });
  cluster.resource('APIValidationPolicy', 'orders', { schemaRefs: ['orders'] });
  t.strictSame(cluster.inForce(), {});
  text = { kind: 'text', text: '{"openapi":"3.0.3","info":{"title":"x","version":"1"},"paths":{}}' };
  cluster.state.configMapChanged('shop', 'api');
  t.strictSame(Object.keys(cluster.inForce()), ['APISchema/shop/orders', 'APIValidationPolicy/shop/orders']);
});

t.test('the status of an APISchema tells of a response that cannot be checked', async (t) => {
  const cluster = new TestCluster();
  const inline = {
    openapi: '3.1.0',
    info: { title: 'x', version: '1' },
    paths: { '/a': { get: { responses: { 200: { headers: { 'x-a': { schema: { maxLength: -1 } } } } } } } },
  };
  const key = cluster.resource('APISchema', 'orders', { openapi: { inline } });
  t.strictSame(Object.keys(cluster.inForce()), ['APISchema/shop/orders'], 'it is in force: requests are judged');
  t.match(
    accepted(cluster, key),
    /schema_unavailable .*GET \/a 200 cannot be checked; refused where responses are enforced/,
  );
});

t.test('of sidecars that refused a resource the status has the names, and nothing that they said', async (t) => {
  const cluster = new TestCluster();
  const key = cluster.resource('AuthorizationPolicy', 'a', { rules: [{}] });
  cluster.state.refresh();
  const judged = cluster.state.resources.get(key);
  if (judged?.inForce === undefined) throw new Error('not in force');
  const count = { ...judged.inForce, bound: 10, acked: 3 };
  const replicas = [
    { ...count, nacked: 5, refusedBy: ['shop/e', 'shop/d', 'shop/c', 'shop/b', 'shop/a'] },
    { ...count, nacked: 2, refusedBy: ['shop/a2', 'shop/f'] },
  ];
  const programmed = (counts: typeof replicas) =>
    conditionsOf(judged, counts, undefined, MESH.rootNamespace)?.find(({ type }) => type === 'Programmed');
  t.match(programmed(replicas), {
    status: 'False',
    reason: 'Refused',
    message:
      /^6 of 20 sidecars have it in force, 7 refused it\. shop\/a, shop\/a2, shop\/b, shop\/c, shop\/d and 2 more: see `lateral proxies`/,
  });
});
