import { certificateHealth } from '../identity/certificate-health.ts';
import type { CredentialSource } from '../identity/credentials.ts';
import type { RenewalRecord } from '../identity/renewal-record.ts';
import type { PolicyStatus } from '../policy/policy-status.ts';
import { type LocalAnswer, text } from './local-server.ts';

/** The certificate, and how its renewals go. */
export interface CertificateInUse {
  readonly source: CredentialSource;
  readonly renewals: RenewalRecord;
}

/** What probes and operators ask about. */
export interface AdminFacts {
  readonly policy: PolicyStatus;
  /** Undefined: there is none yet. */
  readonly certificate: () => CertificateInUse | undefined;
  /** All listeners are open, and it does not drain. */
  readonly isReady: () => boolean;
  readonly printMetrics: () => Promise<string>;
}

/** What probes are told now. */
export function readinessOf({ isReady, policy, certificate }: AdminFacts, nowMs: number): LocalAnswer {
  if (!isReady()) return text(503, notReadyReason(policy));
  const inUse = certificate();
  if (inUse === undefined) return text(200, 'ready');
  const health = certificateHealth(inUse.source.current(), inUse.renewals, nowMs);
  if (health.kind === 'fine') return text(200, 'ready');
  if (health.kind === 'certificate_expired') return text(503, `${health.kind}: ${health.reason}`);
  // all still works as long as the certificate does: to be told not ready would cut off who is served
  return text(200, `ready; ${health.kind}: ${health.reason}`);
}

function notReadyReason(policy: PolicyStatus): string {
  if (policy.snapshot === undefined)
    return ['waiting for certificate and first policies', ...policy.lastReasons].join('; ');
  return 'draining, or not all listeners are open';
}
