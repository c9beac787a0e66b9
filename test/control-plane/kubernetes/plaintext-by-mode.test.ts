import t from 'tap';
import { indexResources } from '#policy/snapshot/select-snapshot.ts';
import { MESH } from '../control-plane-fixture.ts';
import { type Fields, TestCluster } from './cluster-fixture.ts';

const ONE_PORT = { clusterIPs: ['10.96.0.1'], ports: [{ name: 'http', port: 80 }] };
const ENDPOINT = { addresses: ['10.0.0.1'], targetRef: { kind: 'Pod', name: 'orders-1' } };
const WEB = { name: 'web-1', namespace: 'shop', serviceAccount: 'web', labels: {} };
const LISTENER = { 'lateral.dev/injected': '{"interception":"none","inbound":{"8080":15100}}' };
const REDIRECTED = { 'lateral.dev/injected': '{"interception":"redirect","inbound":{}}' };

/** The endpoints of the Service orders, as callers are told. */
function endpointsOf(cluster: TestCluster): Fields[] {
  cluster.state.refresh();
  const index = indexResources(cluster.state.documents(), MESH);
  const { document = '{}' } = index.select(WEB).find('MeshService/shop/orders') ?? {};
  return JSON.parse(document).spec.endpoints;
}

function cluster(annotations: Fields): TestCluster {
  const made = new TestCluster();
  made.pod('orders-1', annotations);
  made.service('orders', ONE_PORT);
  made.slice('orders', [ENDPOINT]);
  return made;
}

for (const [way, annotations, port] of [
  ['redirected', REDIRECTED, 8080],
  ['with listeners of their own', LISTENER, 15100],
] as const) {
  t.test(`a Service is told to be plaintext where PeerAuthentication is DISABLE, pods ${way}`, async (t) => {
    const mesh = cluster(annotations);
    const [before] = endpointsOf(mesh);
    t.match(before, { port, plaintextPorts: undefined });
    mesh.resource('PeerAuthentication', 'all', { mtls: { mode: 'DISABLE' } });
    t.match(endpointsOf(mesh), [{ port, plaintextPorts: [port], appPort: undefined }]);
  });

  t.test(`the port that portLevelMtls names is the app's, pods ${way}`, async (t) => {
    const mesh = cluster(annotations);
    const selector = { matchLabels: { app: 'orders' } };
    const labelled = { metadata: { name: 'orders-1', namespace: 'shop', annotations, labels: { app: 'orders' } } };
    mesh.podObject({ ...labelled, spec: {}, status: { podIPs: [{ ip: '10.0.0.1' }] } });
    mesh.resource('PeerAuthentication', 'ports', { selector, portLevelMtls: { 8080: { mode: 'DISABLE' } } });
    t.match(endpointsOf(mesh), [{ plaintextPorts: [port] }]);
    mesh.resource('PeerAuthentication', 'ports', { selector, portLevelMtls: { 80: { mode: 'DISABLE' } } });
    t.match(endpointsOf(mesh), [{ plaintextPorts: undefined }], "80 is the Service's");
  });
}

t.test('a broken PeerAuthentication that never was good makes nothing plaintext', async (t) => {
  const mesh = cluster(REDIRECTED);
  mesh.resource('PeerAuthentication', 'all', { mtls: { mode: 'DISABLED' } });
  t.match(endpointsOf(mesh), [{ plaintextPorts: undefined }]);
});

t.test('MeshDefaults of the configuration count like a resource', async (t) => {
  const mesh = new TestCluster({ meshDefaults: { mtls: { mode: 'DISABLE' } } });
  mesh.pod('orders-1', REDIRECTED);
  mesh.service('orders', ONE_PORT);
  mesh.slice('orders', [ENDPOINT]);
  t.match(endpointsOf(mesh), [{ plaintextPorts: [8080] }]);
});

t.test('an address is of the pod that has it alone', async (t) => {
  const mesh = cluster(REDIRECTED);
  t.match(mesh.state.podAt('10.0.0.1'), { namespace: 'shop', name: 'orders-1' });
  t.match(mesh.state.podAt('::ffff:10.0.0.1'), undefined, 'as it was told, and no other way');
  mesh.pod('in-the-network-of-the-node');
  t.equal(mesh.state.podAt('10.0.0.1'), undefined);
  t.equal(mesh.state.podAt('10.0.0.2'), undefined);
});
