import type { AddressOwner } from '#proto/gen/lateral/v1/discovery.ts';
import type { SidecarVitals } from '../discovery/sidecar-vitals.ts';
import type { OwnerOf } from '../discovery/workload-directory.ts';

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
  readonly requests: number;
  readonly lastSeen: string;
  /** The workload that has this address; null: not known. */
  readonly owner: AddressOwner | null;
}

/** Who was let in without an identity within a day. */
export interface PlaintextFacts {
  readonly callers: readonly PlaintextCallerFacts[];
  /** Since when that is watched; null: it is not known. */
  readonly since: string | null;
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

/** `ownerOf`: where the owners are not in the vitals already. */
export function plaintextFactsOf(vitals: SidecarVitals | undefined, ownerOf?: OwnerOf): PlaintextFacts | null {
  if (vitals?.plaintextSinceMs === undefined) return null;
  const callers = vitals.plaintextCallers.map(({ lastSeenMs, requests = 0, owner, ...caller }) => ({
    ...caller,
    requests,
    lastSeen: timeOf(lastSeenMs),
    owner: namedOwner(owner ?? ownerOf?.(caller.address)),
  }));
  return { callers, since: timeOf(vitals.plaintextSinceMs) };
}

/** The names alone: this is shown, and who knows owners knows more of them. */
function namedOwner(owner: AddressOwner | undefined): AddressOwner | null {
  if (owner === undefined) return null;
  const { namespace, name, serviceAccount } = owner;
  return { namespace, name, serviceAccount };
}

/** Largest time that a Date can hold: what a sidecar says may be any number. */
const MAX_TIME_MS = 8.64e15;

function timeOf(ms: number): string {
  return new Date(Math.min(ms, MAX_TIME_MS)).toISOString();
}
