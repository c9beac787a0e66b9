import type { Mesh } from '#policy/workload-policy.ts';
import { type RootFacts, rootsIn } from '../identity/certificate-report.ts';
import type { CredentialSource } from '../identity/credentials.ts';
import type { RenewalRecord } from '../identity/renewal-record.ts';
import { type DomainRoots, meshRoots } from '../policy/mesh-roots.ts';
import type { PolicyStatus } from '../policy/policy-status.ts';
import type { Gauge } from './metrics.ts';

/** Roots that are shown: a mesh has one or two a trust domain. */
export const MAX_ROOT_SERIES = 256;

/** The certificate in use, its renewals, and whom the sidecar believes. */
export function certificateGauges(
  credentials: CredentialSource,
  renewals: RenewalRecord,
  policy: PolicyStatus,
  mesh: Mesh,
): Gauge[] {
  return [
    {
      name: 'lateral_certificate_expiry_timestamp_seconds',
      help: 'When the certificate in use ends.',
      type: 'gauge',
      read: () => [['', credentials.current().expiresAtMs / 1_000]],
    },
    {
      name: 'lateral_certificate_last_renewal_timestamp_seconds',
      help: 'When the certificate was last renewed; absent: not since the start.',
      type: 'gauge',
      read: () => (renewals.lastRenewalAtMs === undefined ? [] : [['', renewals.lastRenewalAtMs / 1_000]]),
    },
    {
      name: 'lateral_certificate_renewals_total',
      help: 'Renewals of the certificate.',
      type: 'counter',
      read: () => [['', renewals.renewals]],
    },
    {
      name: 'lateral_certificate_renewal_failures_total',
      help: 'Attempts to renew the certificate that failed, by why.',
      type: 'counter',
      read: () => [...renewals.failures].map(([code, count]) => [`{reason="${code}"}`, count]),
    },
    {
      name: 'lateral_trusted_root_expiry_timestamp_seconds',
      help: 'When a root ends by which peers of a trust domain are believed.',
      type: 'gauge',
      read: () =>
        trusted(credentials, policy, mesh)
          .flatMap((domain) => factsOf(domain).map((root) => ({ ...root, trustDomain: domain.trustDomain })))
          .slice(0, MAX_ROOT_SERIES)
          .map(({ trustDomain, fingerprint, expiresAtMs }) => [
            `{trust_domain="${trustDomain}",fingerprint="${fingerprint}"}`,
            expiresAtMs / 1_000,
          ]),
    },
  ];
}

/** What the mesh has published; standalone the roots beside the certificate. */
function trusted(credentials: CredentialSource, { snapshot }: PolicyStatus, mesh: Mesh): readonly DomainRoots[] {
  const published = snapshot === undefined ? undefined : meshRoots(snapshot, mesh);
  if (published !== undefined) return published;
  const { identity, trustBundlePem, federated = [] } = credentials.current();
  return [{ trustDomain: identity.trustDomain, rootsPem: trustBundlePem }, ...federated];
}

let known: { readonly pem: string; readonly roots: readonly RootFacts[] }[] = [];
/** Bundles of which is kept what was read. */
const MAX_KNOWN_BUNDLES = 16;

/** Read once: certificates cost more to read than metrics to print. */
function factsOf({ rootsPem }: DomainRoots): readonly RootFacts[] {
  const found = known.find(({ pem }) => pem === rootsPem);
  if (found !== undefined) return found.roots;
  const roots = rootsIn(rootsPem);
  known = [{ pem: rootsPem, roots }, ...known].slice(0, MAX_KNOWN_BUNDLES);
  return roots;
}
