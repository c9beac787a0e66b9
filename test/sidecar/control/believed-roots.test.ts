import t from 'tap';
import { spiffeId } from '#policy/identity/spiffe-id.ts';
import { believedRoots } from '#sidecar/control/believed-roots.ts';
import type { StoredIdentity } from '#sidecar/control/state-directory.ts';
import { TestAuthority } from '../../support/certificates.ts';

const [first, second, other] = [new TestAuthority().rootPem, new TestAuthority().rootPem, new TestAuthority().rootPem];

/** What a sidecar stored that learnt of `second` while `configuredRootsPem` was configured. */
function learnt(configuredRootsPem: string | undefined, areRootsOfMesh = false): StoredIdentity {
  const identity = spiffeId('cluster.local', 'shop', 'orders');
  const secrets = { certificateChainPem: '', privateKeyPem: '', expiresAtMs: 0 };
  const credentials = { identity, trustBundlePem: second, ...secrets };
  return { credentials, configuredRootsPem, receivedAtMs: 0, areRootsOfMesh };
}

const counts = (configured: string, stored: StoredIdentity | undefined) =>
  believedRoots(configured, stored).includes(second);

t.test('roots that were handed out count as long as what was configured then still is', async (t) => {
  t.ok(counts(first, learnt(first)));
  t.ok(counts(first.trimEnd(), learnt(first)), 'without a line end');
  t.ok(counts(first + other, learnt(first)), 'one was added');
  t.notOk(counts(first, learnt(first + other)), 'one was taken out');
  t.notOk(counts(other, learnt(first)), 'it was replaced');
});

t.test('roots of which is not known by whom they were handed out do not count', async (t) => {
  t.equal(believedRoots(first, undefined), first);
  t.equal(believedRoots(first, learnt(undefined)), first);
  t.equal(believedRoots(first, learnt('')), first);
});

t.test(
  'what the mesh has published retires a root that was configured then, and not one that was added since',
  async (t) => {
    const believed = (configured: string) => believedRoots(configured, learnt(first, true));
    t.ok(believed(first).includes(second));
    t.notOk(believed(first).includes(first.trimEnd()));
    t.ok(believed(first + other).includes(other.trimEnd()));
    t.notOk(believed(first + other).includes(first.trimEnd()));
    t.equal(believed(other), other, 'it was replaced: the operator has the last word');
  },
);

t.test('the configured roots count beside what came with a certificate', async (t) => {
  t.ok(believedRoots(first, learnt(first)).includes(first.trimEnd()));
});
