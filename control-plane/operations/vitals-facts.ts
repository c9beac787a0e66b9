import type { SidecarVitals } from '../discovery/sidecar-vitals.ts';

/** The certificate of a sidecar, by its own word. Times are ISO 8601. */
export interface CertificateFacts {
  readonly expiresAt: string;
  readonly serial: string;
  /** Null: not renewed since the sidecar started. */
  readonly lastRenewalAt: string | null;
  readonly renewalFailures: number;
  /** Why the last attempt to renew failed; null: it did not. */
  readonly failure: { readonly code: string; readonly reason: string; readonly at: string } | null;
  /** SHA-256 of the roots by which it believes its own trust domain. */
  readonly trustedRoots: readonly string[];
}

/** A caller that was let in without an identity. */
export interface PlaintextCallerFacts {
  readonly address: string;
  /** The app's port. */
  readonly port: number;
  readonly connections: number;
  readonly lastSeen: string;
}

export function certificateFactsOf(vitals: SidecarVitals | undefined): CertificateFacts | null {
  if (vitals === undefined) return null;
  const { failureCode, failureReason, failedAtMs, lastRenewalAtMs } = vitals;
  return {
    expiresAt: timeOf(vitals.certificateExpiresAtMs),
    serial: vitals.certificateSerial,
    lastRenewalAt: lastRenewalAtMs === 0 ? null : timeOf(lastRenewalAtMs),
    renewalFailures: vitals.renewalFailures,
    failure: failureCode === '' ? null : { code: failureCode, reason: failureReason, at: timeOf(failedAtMs) },
    trustedRoots: vitals.trustedRoots,
  };
}

export function plaintextCallersOf(vitals: SidecarVitals | undefined): readonly PlaintextCallerFacts[] | null {
  if (vitals === undefined) return null;
  return vitals.plaintextCallers.map(({ address, port, connections, lastSeenMs }) => ({
    address,
    port,
    connections,
    lastSeen: timeOf(lastSeenMs),
  }));
}

/** Largest time that a Date can hold: what a sidecar says may be any number. */
const MAX_TIME_MS = 8.64e15;

function timeOf(ms: number): string {
  return new Date(Math.min(ms, MAX_TIME_MS)).toISOString();
}
