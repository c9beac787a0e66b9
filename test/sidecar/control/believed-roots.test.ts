import t from 'tap';
import { spiffeId } from '#policy/identity/spiffe-id.ts';
import { believedRoots } from '#sidecar/control/believed-roots.ts';
import type { StoredIdentity } from '#sidecar/control/state-directory.ts';
import { TestAuthority } from '../../support/certificates.ts';

const [first, second, other] = [new TestAuthority().rootPem, new TestAuthority().rootPem, new TestAuthority().rootPem];

/** What a sidecar stored that learnt of `second` while `configuredRootsPem` was configured. */
function learnt(configuredRootsPem: string | undefined): StoredIdentity {
  const identity = spiffeId('cluster.local', 'shop', 'orders');
  const secrets = { certificateChainPem: '', privateKeyPem: '', expiresAtMs: 0 };
  return { credentials: { identity, trustBundlePem: second, ...secrets }, configuredRootsPem };
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

t.test('the configured roots always count', async (t) => {
  t.ok(believedRoots(first, learnt(first)).includes(first.trimEnd()));
});
