import t from 'tap';
import { judgeObject } from '#control-plane/kubernetes/resources/judge-object.ts';
import { conditionsOf, workloadsOf } from '#control-plane/kubernetes/status/conditions.ts';
import { indexResources } from '#policy/snapshot/select-snapshot.ts';
import { MESH } from '../control-plane-fixture.ts';
import { type Fields, TestCluster } from './cluster-fixture.ts';

const SERVICE = { selector: { app: 'orders' }, clusterIPs: ['10.96.0.1'], ports: [{ port: 80, name: 'http' }] };
const TARGET = { targetRefs: [{ kind: 'Service', name: 'orders' }] };
const UNREADABLE = [{ when: [{ key: 'experimental.envoy.filters.a[b]', values: ['c'] }] }];

function pod(name: string, app: string, annotations: Fields = {}) {
  const metadata = { name, namespace: 'shop', labels: { app }, annotations };
  return { metadata, spec: { serviceAccountName: 'default' }, status: { podIPs: [{ ip: '10.0.0.1' }] } };
}

function keysFor(cluster: TestCluster, app: string): readonly string[] {
  cluster.state.refresh();
  const workload = { namespace: 'shop', serviceAccount: 'default', labels: { app, 'pod-template-hash': '7d9f' } };
  const { resources } = indexResources([...cluster.state.documents()], MESH).select(workload);
  return resources.map(({ key }) => key).filter((key) => key.startsWith('AuthorizationPolicy/'));
}

function said(cluster: TestCluster, key: string) {
  const judged = cluster.state.resources.get(key);
  if (judged === undefined) throw new Error(`no ${key}`);
  const conditions = conditionsOf(judged, [], workloadsOf(judged, cluster.state), MESH.rootNamespace);
  const matched = conditions?.find(({ type }) => type === 'MatchedWorkloads');
  return `${matched?.status} ${matched?.message}`;
}

t.test("a policy that targets a Service binds what the Service's selector selects, ready or not", async (t) => {
  const cluster = new TestCluster();
  const key = cluster.resource('AuthorizationPolicy', 'p', { ...TARGET, rules: [{}] });
  t.same(keysFor(cluster, 'orders'), [], 'there is no such Service');
  t.equal(said(cluster, key), 'False No Pod of namespace shop is of the Services targeted (orders).');
  cluster.service('orders', SERVICE);
  t.same(keysFor(cluster, 'orders'), ['AuthorizationPolicy/shop/p'], 'it has no endpoint yet');
  t.same(keysFor(cluster, 'web'), []);
  cluster.podObject(pod('orders-1', 'orders'));
  t.equal(
    said(cluster, key),
    'False 1 Pods of namespace shop are of the Services targeted (orders), and none of them has a sidecar to enforce it.',
  );
  cluster.podObject(pod('orders-2', 'orders', { 'lateral.dev/injected': '{"interception":"redirect","inbound":{}}' }));
  t.equal(said(cluster, key), 'True 1 Pods of namespace shop are bound.');
  cluster.service('orders', { ...SERVICE, selector: { app: 'web' } }, SERVICE);
  t.same(keysFor(cluster, 'orders'), [], 'the selector is another');
  t.same(keysFor(cluster, 'web'), ['AuthorizationPolicy/shop/p']);
});

t.test('at admission it is said that no Pod is bound, and by which Service', async (t) => {
  const cluster = new TestCluster();
  cluster.podObject(pod('orders-1', 'orders'));
  const policy = {
    apiVersion: 'lateral.dev/v1alpha1',
    kind: 'AuthorizationPolicy',
    metadata: { name: 'p', namespace: 'shop' },
    spec: { ...TARGET, rules: [{}] },
  };
  const judge = () => {
    cluster.state.refresh();
    return judgeObject(policy, cluster.state);
  };
  t.match(judge(), {
    errors: [],
    warnings: [{ code: 'no_workload', message: 'binds no workload: Service orders selects no Pod of namespace shop' }],
  });
  cluster.service('orders', SERVICE);
  t.same(judge(), { ...judge(), errors: [], warnings: [] });
});

t.test(
  'one that never was good refuses for the Service that it targets; for all where that cannot be read',
  async (t) => {
    const cluster = new TestCluster();
    const DENY = { action: 'DENY', rules: UNREADABLE };
    const key = 'AuthorizationPolicy/shop/x';
    cluster.resource('AuthorizationPolicy', 'x', { ...TARGET, ...DENY });
    t.same(cluster.inForce()[key], { ...TARGET, action: 'DENY', rules: [{}] });
    for (const wrong of [
      { targetRefs: [{ kind: 'Gateway', name: 'g' }] },
      { ...TARGET, selector: {} },
      { targetRefs: [] },
    ]) {
      const other = new TestCluster();
      other.resource('AuthorizationPolicy', 'x', { ...wrong, ...DENY });
      t.same(other.inForce()[key], { action: 'DENY', rules: [{}] }, JSON.stringify(wrong));
    }
    const istio = new TestCluster();
    istio.resource('AuthorizationPolicy', 'x', { targetRefs: [], ...DENY }, { group: 'security.istio.io' });
    t.same(istio.inForce()[key], { action: 'DENY', rules: [{}] }, 'no targets are none, as in istiod');
  },
);
