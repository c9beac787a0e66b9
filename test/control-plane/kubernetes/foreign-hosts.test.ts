import t from 'tap';
import { clusterPodOf, clusterServiceOf, endpointSliceOf } from '#control-plane/kubernetes/cluster/cluster-objects.ts';
import { ClusterState } from '#control-plane/kubernetes/cluster/cluster-state.ts';
import { judgeObject } from '#control-plane/kubernetes/resources/judge-object.ts';
import { meshObjectOf } from '#control-plane/kubernetes/resources/mesh-objects.ts';
import { compileServices } from '#policy/mesh/compile-services.ts';
import { readDocuments } from '#policy/snapshot/read-documents.ts';
import { MESH } from '../control-plane-fixture.ts';

const CLAIM = { group: 'lateral.dev', version: 'v1alpha1', kind: 'MeshService', plural: 'meshservices' };
const THIEF = [{ address: '10.0.6.6', port: 6666, serviceAccount: 'thief' }];

/** A cluster in which shop has a StatefulSet db, whose Service and pod have addresses of either family. */
function clusterWithDatabase(): ClusterState {
  const state = new ClusterState({
    mesh: MESH,
    clusterDomain: 'cluster.local',
    meshDefaults: undefined,
    configMapText: () => ({ kind: 'unknown' }),
    onChange: () => {},
  });
  for (const name of ['evil', 'shop', MESH.rootNamespace]) state.namespaceChanged(name, true);
  const ports = [
    { name: 'tcp-pg', port: 5432 },
    { name: 'http', port: 80 },
  ];
  const spec = { clusterIPs: ['10.96.0.9', 'fd00:96::9'], ports };
  state.serviceChanged('shop/db', clusterServiceOf({ metadata: { name: 'db', namespace: 'shop' }, spec }), undefined);
  state.podChanged('shop/db-0', podOf('db-0'), undefined);
  const slice = {
    metadata: { name: 'db', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'db' } },
    addressType: 'IPv4',
    ports,
    endpoints: [{ addresses: ['10.0.0.5'], hostname: 'db-0', targetRef: { kind: 'Pod', name: 'db-0' } }],
  };
  state.sliceChanged('shop/db', endpointSliceOf(slice), undefined);
  state.refresh();
  return state;
}

function podOf(name: string, phase = 'Running') {
  return clusterPodOf({
    metadata: { name, namespace: 'shop', annotations: { 'lateral.dev/injected': '{}' } },
    spec: { serviceAccountName: 'db' },
    status: { phase, podIPs: [{ ip: '10.0.0.5' }, { ip: 'fd00::5' }] },
  });
}

function claim(
  state: ClusterState,
  hosts: readonly string[],
  endpoints: readonly object[] = THIEF,
  namespace = 'evil',
) {
  const spec = { hosts, ports: [{ port: 80 }, { port: 5432, protocol: 'tcp' }], endpoints };
  const creationTimestamp = namespace === 'shop' ? '2026-01-01T00:00:00Z' : '2026-01-02T00:00:00Z';
  const metadata = { name: 'claim', namespace, uid: '1', resourceVersion: '1', generation: 1, creationTimestamp };
  const object = { apiVersion: 'lateral.dev/v1alpha1', kind: 'MeshService', metadata, spec };
  const codes = judgeObject(object, state).errors.map(({ code }) => code);
  const made = meshObjectOf(object, CLAIM);
  if (made === undefined) throw new Error('no object');
  state.resourceChanged(made.key, made);
  state.refresh();
  const status = () => state.resources.get(made.key)?.problems?.map(({ code }) => code);
  return { codes, status };
}

function servicesFor(state: ClusterState, namespace: string) {
  const services = readDocuments(state.documents(), MESH).flatMap(({ any }) =>
    any.type === 'MeshService' ? [any.resource] : [],
  );
  return compileServices(services, { namespace }, MESH);
}

t.test('a Service has its hosts on every port, and in every spelling', (t) => {
  for (const host of ['10.96.0.9', '10.96.0.9:5432', '10.96.0.9:9', '[fd00:96::9]:5432', 'FD00:96:0::9']) {
    const state = clusterWithDatabase();
    t.same(claim(state, [host]).codes, ['duplicate_host'], host);
    t.match(servicesFor(state, 'shop').resolveAddress('10.96.0.9', 5432), { namespace: 'shop' }, host);
    t.match(servicesFor(state, 'shop').resolveAddress('fd00:96::9', 5432), { namespace: 'shop' }, host);
  }
  t.same(claim(clusterWithDatabase(), ['db:5432'], THIEF, 'shop').codes, ['duplicate_host'], 'in its namespace too');
  t.end();
});

t.test("another namespace's MeshService has its host on every port; one of the same namespace may divide it", (t) => {
  const state = clusterWithDatabase();
  t.same(claim(state, ['pay.example.com'], THIEF, 'shop').codes, []);
  t.same(claim(state, ['pay.example.com:80']).codes, ['duplicate_host']);
  t.same(claim(state, ['pay.example.com:80'], THIEF, 'shop').codes, []);
  t.end();
});

t.test('names of pods of another namespace are refused', (t) => {
  const hosts = ['db-0.db.shop', 'db-0.db.shop:5432', 'db-0.db.shop.svc', 'db-0.db.shop.svc.cluster.local'];
  for (const host of hosts) t.same(claim(clusterWithDatabase(), [host]).codes, ['foreign_host'], host);
  for (const host of ['db-0.db.evil', 'db-0.db.evil.svc.cluster.local', 'api.shop.example.com'])
    t.same(claim(clusterWithDatabase(), [host]).codes, [], host);
  t.end();
});

t.test('HOSTNAME.SERVICE is a pod of the own namespace, whoever claims that host elsewhere', (t) => {
  for (const host of ['db-0.db', 'db-0.db:80']) {
    const state = clusterWithDatabase();
    t.same(claim(state, [host]).codes, [], 'it means nothing of shop in other namespaces');
    t.match(servicesFor(state, 'shop').resolve('db-0.db'), { namespace: 'shop', name: 'db' });
    t.match(servicesFor(state, 'evil').resolve('db-0.db'), { namespace: 'evil' });
    state.podChanged('shop/db-0', undefined, podOf('db-0'));
    state.refresh();
    t.equal(servicesFor(state, 'shop').resolve('db-0.db'), undefined, 'not even while the pod is away');
  }
  t.end();
});

t.test('the address of a pod, or Service, of another namespace is no host and no endpoint', (t) => {
  for (const host of ['10.0.0.5', '10.0.0.5:5432', '[FD00:0::5]:80'])
    t.same(claim(clusterWithDatabase(), [host]).codes, ['foreign_host'], host);
  for (const address of ['10.0.0.5', '10.96.0.9', 'fd00:0:0::5']) {
    const endpoint = { address, port: 5432, serviceAccount: 'thief' };
    t.same(claim(clusterWithDatabase(), ['x'], [endpoint]).codes, ['foreign_host'], address);
    t.same(claim(clusterWithDatabase(), ['x'], [endpoint], 'shop').codes, [], 'its own namespace may');
  }
  t.end();
});

t.test('what a MeshService names is judged again when it becomes, or ceases to be, the address of a pod', (t) => {
  const state = clusterWithDatabase();
  state.podChanged('shop/db-0', podOf('db-0', 'Succeeded'), podOf('db-0'));
  const { codes, status } = claim(state, ['10.0.0.5']);
  t.same(codes, [], 'of a pod that has ended');
  state.podChanged('shop/db-1', podOf('db-1'), undefined);
  state.refresh();
  t.same(status(), ['foreign_host']);
  state.podChanged('shop/db-1', undefined, podOf('db-1'));
  state.refresh();
  t.same(status(), []);
  t.end();
});

t.test('a host is judged again when the namespace it names appears', (t) => {
  const state = clusterWithDatabase();
  const { codes, status } = claim(state, ['db.new']);
  t.same(codes, []);
  state.namespaceChanged('new', true);
  state.refresh();
  t.same(status(), ['foreign_host']);
  t.end();
});
