import { generateKeyPairSync } from 'node:crypto';
import t from 'tap';
import { issueControlPlaneCertificate } from '#control-plane/authority/control-plane-certificate.ts';
import type { SidecarStatus } from '#control-plane/discovery/sidecar-registry.ts';
import { askReplicas } from '#control-plane/replicas/ask-replicas.ts';
import { countProgrammed } from '#control-plane/replicas/programmed-counts.ts';
import { spiffeId } from '#policy/identity/spiffe-id.ts';
import { resourceDocument } from '#policy/resource/resource-document.ts';
import { ComposedSnapshot, SharedResources } from '#policy/snapshot/composed-snapshot.ts';
import { certificatesToPem } from '#policy/x509/pem.ts';
import { type Event, eventually, MESH } from './control-plane-fixture.ts';
import { replicaWithSidecar } from './replicas/replica-with-sidecar.ts';

t.test('a replica tells what its sidecars have in force, to a control plane of its mesh alone', async (t) => {
  const { address, trustBundlePem, authority } = await replicaWithSidecar(t);
  const events: Event[] = [];
  const ask = (identity: { certificateChainPem: string; privateKeyPem: string }) =>
    askReplicas({
      mesh: MESH,
      identity: () => ({ ...identity, trustBundlePem }),
      addresses: () => [address],
      log: (event, fields = {}) => events.push({ event, fields }),
    })([]);

  const own = issueControlPlaneCertificate(authority, MESH);
  await eventually('it is acknowledged', async () => (await ask(own)).programmed[0]?.acked === 1);
  t.match((await ask(own)).programmed, [
    { key: 'AuthorizationPolicy/shop/allow-web', bound: 1, acked: 1, nacked: 0, refusedBy: [] },
  ]);

  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const workload = spiffeId(MESH.trustDomain, 'shop', 'web');
  const { chain } = authority.issue(workload, publicKey.export({ type: 'spki', format: 'der' }));
  const stranger = {
    certificateChainPem: certificatesToPem(chain),
    privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }),
  };
  t.strictSame(await ask(stranger), { programmed: [], silent: 1 });
  t.match(events, [{ event: 'replica_silent', fields: { error: /only control planes of this mesh/ } }]);
});

t.test('counts who has a resource, who waits and who refused; Services only where they are asked for', async (t) => {
  const policy = (path: string) =>
    resourceDocument({
      apiVersion: 'lateral.dev/v1alpha1',
      kind: 'AuthorizationPolicy',
      namespace: 'shop',
      name: 'a',
      spec: { rules: [{ to: [{ operation: { paths: [path] } }] }] },
    });
  const service = resourceDocument({
    apiVersion: 'lateral.dev/v1alpha1',
    kind: 'MeshService',
    namespace: 'shop',
    name: 's',
    spec: { hosts: ['s'] },
  });
  const shared = new SharedResources([service]);
  const before = new ComposedSnapshot(shared, [policy('/before')]);
  const after = new ComposedSnapshot(shared, [policy('/after')]);
  const sidecar = (name: string, inForce: typeof before | undefined, refusal?: string): SidecarStatus => ({
    identity: '',
    workload: { name, namespace: 'shop', serviceAccount: '', labels: {}, ports: [] },
    sidecarVersion: '',
    peer: '',
    connectedAtMs: 0,
    lastHeardMs: 0,
    inForceVersion: inForce?.version ?? '',
    pendingVersion: undefined,
    refused: refusal === undefined ? undefined : { version: after.version, reasons: [refusal], atMs: 0 },
    vitals: undefined,
    snapshots: () => ({ target: after, inForce }),
    orderTap: () => {},
  });
  const sidecars = [
    ...['a', 'b'].map((name) => sidecar(name, after)),
    sidecar('c', before),
    sidecar('d', undefined),
    sidecar('f', before, 'its own words'),
    sidecar('e', undefined, 'other words'),
  ];
  const { key, version } = policy('/after');
  t.strictSame(countProgrammed(sidecars, []), [
    { key, version, bound: 6, acked: 2, nacked: 2, refusedBy: ['shop/e', 'shop/f'] },
  ]);
  t.match(countProgrammed(sidecars, [service.key]).slice(1), [
    { key: 'MeshService/shop/s', version: service.version, bound: 6, acked: 4 },
  ]);
});
