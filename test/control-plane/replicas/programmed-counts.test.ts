import t from 'tap';
import type { SidecarStatus } from '#control-plane/discovery/sidecar-registry.ts';
import { countProgrammed } from '#control-plane/replicas/programmed-counts.ts';
import { resourceDocument } from '#policy/resource/resource-document.ts';
import { indexResources } from '#policy/snapshot/select-snapshot.ts';
import { MESH } from '../control-plane-fixture.ts';

const service = resourceDocument({
  apiVersion: 'lateral.dev/v1alpha1',
  kind: 'MeshService',
  namespace: 'shop',
  name: 'orders',
  spec: { hosts: ['orders'], endpoints: [{ address: '10.0.0.1', port: 8080, serviceAccount: 'orders' }] },
});
const disabled = resourceDocument({
  apiVersion: 'lateral.dev/v1alpha1',
  kind: 'PeerAuthentication',
  namespace: 'shop',
  name: 'all',
  spec: { mtls: { mode: 'DISABLE' } },
});

t.test('a MeshService that travels with marks is counted under the version that somebody wrote', async (t) => {
  const snapshot = indexResources([service, disabled], MESH).select({
    namespace: 'shop',
    serviceAccount: 'orders',
    labels: {},
  });
  const sidecar: SidecarStatus = {
    identity: '',
    workload: { name: 'web-1', namespace: 'shop', serviceAccount: 'web', labels: {}, ports: [] },
    sidecarVersion: '',
    peer: '',
    connectedAtMs: 0,
    lastHeardMs: 0,
    inForceVersion: snapshot.version,
    pendingVersion: undefined,
    refused: undefined,
    vitals: undefined,
    snapshots: () => ({ target: snapshot, inForce: snapshot }),
    orderTap: () => {},
  };
  t.not(snapshot.find(service.key)?.version, service.version);
  const [found] = countProgrammed([sidecar], [service.key]).filter(({ key }) => key === service.key);
  t.match(found, { version: service.version, bound: 1, acked: 1, nacked: 0 });
});
