import type { PlaintextCaller, Vitals } from '#proto/gen/lateral/v1/discovery.ts';
import { MAX_PLAINTEXT_CALLERS, MAX_TRUSTED_ROOTS } from '#proto/vitals-limits.ts';
import type { OwnerOf } from './workload-directory.ts';

/** How a sidecar fares, as it says itself. */
export type SidecarVitals = Readonly<
  Omit<Vitals, 'trustedRoots' | 'plaintextCallers'> & {
    readonly trustedRoots: readonly string[];
    readonly plaintextCallers: readonly Readonly<PlaintextCaller>[];
  }
>;

/** Longest serial, code, address and fingerprint, and longest reason, that are kept of what a sidecar says. */
const MAX_NAME_LENGTH = 64;
const MAX_REASON_LENGTH = 500;

/** What a sidecar says of itself, cut to what is kept: it is anybody's word that has a certificate. */
export function keptVitals(said: Vitals): SidecarVitals {
  return {
    certificateExpiresAtMs: said.certificateExpiresAtMs,
    certificateSerial: said.certificateSerial.slice(0, MAX_NAME_LENGTH),
    lastRenewalAtMs: said.lastRenewalAtMs,
    renewalFailures: said.renewalFailures,
    failureCode: said.failureCode.slice(0, MAX_NAME_LENGTH),
    failureReason: said.failureReason.slice(0, MAX_REASON_LENGTH),
    failedAtMs: said.failedAtMs,
    trustedRoots: said.trustedRoots.slice(0, MAX_TRUSTED_ROOTS).map((root) => root.slice(0, MAX_NAME_LENGTH)),
    plaintextCallers: said.plaintextCallers
      .slice(0, MAX_PLAINTEXT_CALLERS)
      // whose address it is, is not the sidecar's to say
      .map((caller) => ({ ...caller, address: caller.address.slice(0, MAX_NAME_LENGTH), owner: undefined })),
    plaintextSinceMs: said.plaintextSinceMs,
  };
}

/** As they travel on to operators. */
export function vitalsMessage(vitals: SidecarVitals, ownerOf: OwnerOf | undefined): Vitals {
  return {
    ...vitals,
    trustedRoots: [...vitals.trustedRoots],
    plaintextCallers: vitals.plaintextCallers.map((caller) => ({ ...caller, owner: ownerOf?.(caller.address) })),
  };
}
