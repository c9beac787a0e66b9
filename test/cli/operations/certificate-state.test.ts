import t from 'tap';
import { certificateState } from '#cli/operations/certificate-state.ts';
import { readProxiesPage } from '#cli/operations/facts.ts';

const NOW_MS = Date.parse('2026-01-01T00:00:00Z');
const certificate = {
  serial: 'ab',
  lastRenewalAt: null,
  renewalFailures: 0,
  failure: null,
  trustedRoots: [],
};
const endingIn = (seconds: number) => ({
  ...certificate,
  expiresAt: new Date(NOW_MS + seconds * 1_000).toISOString(),
});

for (const [seconds, shown] of [
  [45, '45s left'],
  [12 * 60 + 1, '12m left'],
  [24 * 3_600 - 1, '23h59m left'],
  [90 * 86_400 - 1, '89d23h left'],
  [0, 'expired'],
  [-60, 'expired'],
] as const) {
  t.test(`a certificate that ends in ${seconds} s is shown as "${shown}"`, async (t) => {
    t.equal(certificateState(endingIn(seconds), NOW_MS), shown);
  });
}

t.test('a renewal that fails is shown with its code, and how long there is', async (t) => {
  const failure = { code: 'unavailable', reason: 'nothing listens there', at: '2026-01-01T00:00:00Z' };
  t.equal(certificateState({ ...endingIn(3_600 * 5), failure }, NOW_MS), 'renewal fails: unavailable, 5h00m left');
});

t.test('a sidecar or control plane of an older version says nothing of certificates', async (t) => {
  t.equal(certificateState(null, NOW_MS), '-');
  const page = {
    source: { version: '', resourceCount: 0, lastApply: { isInForce: true, problems: [] } },
    proxies: [
      {
        identity: 'i',
        workload: { name: 'a', namespace: 'b', serviceAccount: 'c' },
        sidecarVersion: '',
        peer: '',
        state: 'current',
        inForceVersion: '',
        pendingVersion: null,
        refused: null,
        connectedAt: '',
        lastHeard: '',
      },
    ],
  };
  t.match(readProxiesPage(page).proxies, [{ certificate: null, plaintext: null }]);
});
