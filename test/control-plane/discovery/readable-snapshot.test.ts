import t from 'tap';
import { NO_REVOCATIONS } from '#control-plane/authority/revocations.ts';
import { revocationListDocument, trustBundleDocument } from '#control-plane/authority/trust-documents.ts';
import { createPolicyDistribution } from '#control-plane/discovery/policy-distribution.ts';
import { resourceDocument } from '#policy/resource/resource-document.ts';
import { MESH } from '../control-plane-fixture.ts';

const WORKLOAD = { namespace: 'shop', serviceAccount: 'orders', labels: {} };
const BOTH = ['TrustBundle', 'RevocationList'];
const service = resourceDocument({
  apiVersion: 'lateral.dev/v1alpha1',
  kind: 'MeshService',
  namespace: 'shop',
  name: 'orders',
  spec: { hosts: ['orders'] },
});
const keysOf = ({ resources }: { readonly resources: readonly { readonly key: string }[] }) =>
  resources.map(({ key }) => key);

t.test(
  'a sidecar is sent no kind of the control plane that it does not read: it would refuse all the rest with it',
  (t) => {
    const distribution = createPolicyDistribution(MESH);
    const publish = (root: string) =>
      distribution.publishOwn([
        trustBundleDocument(MESH, [Buffer.from(root)], [], []),
        revocationListDocument(MESH, NO_REVOCATIONS),
      ]);
    publish('one');
    distribution.publish([service]);
    const trust = 'TrustBundle/lateral-system/mesh';
    const revocations = 'RevocationList/lateral-system/mesh';
    t.strictSame(keysOf(distribution.snapshotFor(WORKLOAD, BOTH)), [service.key, revocations, trust]);
    t.equal(distribution.snapshotFor(WORKLOAD, BOTH), distribution.snapshotFor(WORKLOAD));
    t.strictSame(keysOf(distribution.snapshotFor(WORKLOAD, ['TrustBundle'])), [service.key, trust]);
    const old = distribution.snapshotFor(WORKLOAD, []);
    t.strictSame(keysOf(old), [service.key]);
    t.equal(distribution.snapshotFor(WORKLOAD, []), old, 'one object for all of them');
    publish('another');
    t.equal(distribution.snapshotFor(WORKLOAD, []).version, old.version, 'nothing to tell it');
    t.not(distribution.snapshotFor(WORKLOAD, BOTH).version, old.version);
    t.end();
  },
);
