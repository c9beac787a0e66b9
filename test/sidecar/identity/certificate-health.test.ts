import { X509Certificate } from 'node:crypto';
import t from 'tap';
import { spiffeId } from '#policy/identity/spiffe-id.ts';
import { readinessOf } from '#sidecar/admin/readiness.ts';
import { certificateHealth } from '#sidecar/identity/certificate-health.ts';
import { certificateReport } from '#sidecar/identity/certificate-report.ts';
import type { CredentialSource, Credentials } from '#sidecar/identity/credentials.ts';
import { MAX_FAILURE_CODES, RenewalRecord } from '#sidecar/identity/renewal-record.ts';
import { PolicyStatus } from '#sidecar/policy/policy-status.ts';
import { certificateGauges } from '#sidecar/telemetry/certificate-gauges.ts';
import { TestAuthority } from '../../support/certificates.ts';

const HOUR_MS = 3_600_000;
const NOW_MS = Date.parse('2026-01-01T00:00:00Z');
const ID = 'spiffe://cluster.local/ns/shop/sa/orders';
const authority = new TestAuthority();

/** Of a life of ten hours, of which so many are left. */
function credentialsWith(hoursLeft: number): Credentials {
  const leaf = authority.leaf(ID, NOW_MS - (10 - hoursLeft) * HOUR_MS, 10 * HOUR_MS);
  const { validToDate } = new X509Certificate(leaf.cert);
  return {
    identity: spiffeId('cluster.local', 'shop', 'orders'),
    certificateChainPem: leaf.cert,
    privateKeyPem: leaf.key,
    trustBundlePem: authority.rootPem,
    expiresAtMs: validToDate.getTime(),
  };
}

const sourceOf = (credentials: Credentials): CredentialSource => ({
  current: () => credentials,
  onRenewal: () => () => {},
  close() {},
});

function failing(code = 'unavailable'): RenewalRecord {
  const record = new RenewalRecord();
  record.noteFailed({ code, reason: 'nothing listens there', atMs: NOW_MS });
  return record;
}

function readyz(hoursLeft: number, renewals = new RenewalRecord(), isReady = true) {
  const source = sourceOf(credentialsWith(hoursLeft));
  const { status, body } = readinessOf(
    {
      policy: new PolicyStatus(),
      certificate: () => ({ source, renewals }),
      isReady: () => isReady,
      printMetrics: async () => '',
    },
    NOW_MS,
  );
  return { status, body: String(body) };
}

t.test('a sidecar stays ready as long as its certificate is good, and says in time that it ends', async (t) => {
  t.same(readyz(9), { status: 200, body: 'ready\n' });
  t.same(readyz(3, failing()), { status: 200, body: 'ready\n' }, 'much is left');
  const soon = readyz(1.9, failing());
  t.equal(soon.status, 200);
  t.match(
    soon.body,
    /^ready; certificate_expires_soon: .* the clock here says 2026-01-01T00:00:00\.000Z; .*unavailable: nothing listens/,
  );
  t.match(readyz(-0.1, failing()), { status: 503, body: /^certificate_expired: the certificate ended at / });
  t.match(readyz(9, new RenewalRecord(), false), { status: 503, body: /waiting for certificate/ });
});

t.test('the health of a certificate is by its own life', async (t) => {
  const health = (hoursLeft: number) => certificateHealth(credentialsWith(hoursLeft), new RenewalRecord(), NOW_MS).kind;
  t.equal(health(2.1), 'fine');
  t.equal(health(1.9), 'certificate_expires_soon');
  t.equal(health(0), 'certificate_expired');
});

t.test('the time that a certificate is dated back by is none of its life', async (t) => {
  const record = new RenewalRecord();
  record.receivedAtMs = NOW_MS - HOUR_MS;
  const health = (hoursLeft: number) => certificateHealth(credentialsWith(hoursLeft), record, NOW_MS).kind;
  t.equal(health(0.3), 'fine');
  t.equal(health(0.2), 'certificate_expires_soon');
  record.receivedAtMs = NOW_MS + HOUR_MS; // a clock that was put back
  t.equal(health(0.3), 'fine');
});

t.test('operators are told of a certificate all but its key', async (t) => {
  const credentials = credentialsWith(5);
  const report = certificateReport(credentials, failing());
  t.match(report, {
    serial: /^[0-9a-f]{16,40}$/,
    expiresAt: '2026-01-01T05:00:00.000Z',
    lastRenewalAt: null,
    renewalFailures: 1,
    failure: { code: 'unavailable', reason: 'nothing listens there', at: '2026-01-01T00:00:00.000Z' },
    trustedRoots: [/^[0-9a-f]{64}$/],
  });
  t.notMatch(JSON.stringify(report), /PRIVATE/);
});

t.test('renewals, failures by reason and trusted roots are metrics, all of them bounded', async (t) => {
  const record = failing();
  for (let code = 0; code < 100; code += 1) record.noteFailed({ code: `code_${code}`, reason: '', atMs: NOW_MS });
  record.noteRenewed(NOW_MS);
  t.equal(record.failure, undefined, 'the last attempt did not fail');
  const mesh = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };
  const gauges = certificateGauges(sourceOf(credentialsWith(5)), record, new PolicyStatus(), mesh);
  const read = (name: string) => gauges.find((gauge) => gauge.name === `lateral_${name}`)?.read() ?? [];
  t.same(read('certificate_renewals_total'), [['', 1]]);
  t.same(read('certificate_last_renewal_timestamp_seconds'), [['', NOW_MS / 1_000]]);
  const failures = new Map(read('certificate_renewal_failures_total'));
  t.equal(failures.get('{reason="unavailable"}'), 1);
  t.ok(failures.size <= MAX_FAILURE_CODES + 1);
  t.ok((failures.get('{reason="other"}') ?? 0) > 60);
  const [[labels, value] = ['', 0]] = read('trusted_root_expiry_timestamp_seconds');
  t.match(labels, /^\{trust_domain="cluster\.local",fingerprint="[0-9a-f]{64}"\}$/);
  t.equal(value, new X509Certificate(authority.rootPem).validToDate.getTime() / 1_000);
});
