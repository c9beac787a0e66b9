import type { PlaintextCaller, Vitals } from '#proto/gen/lateral/v1/discovery.ts';
import { MAX_PLAINTEXT_CALLERS, MAX_TRUSTED_ROOTS } from '#proto/vitals-limits.ts';
import { certificateReport } from '../identity/certificate-report.ts';
import type { Credentials } from '../identity/credentials.ts';
import type { RenewalRecord } from '../identity/renewal-record.ts';

/** Longest reason of a failure that is said. */
const MAX_REASON_LENGTH = 500;

/** Who was let in without an identity, those last seen first; all threads are asked. */
export type ListPlaintextCallers = () => Promise<readonly Readonly<PlaintextCaller>[]>;

/** How the sidecar fares, as the control plane is told. */
export async function sidecarVitals(
  credentials: Credentials,
  renewals: RenewalRecord,
  listCallers: ListPlaintextCallers,
): Promise<Vitals> {
  const callers = await listCallers();
  const { serial, trustedRoots } = certificateReport(credentials, renewals);
  const { failure } = renewals;
  return {
    certificateExpiresAtMs: credentials.expiresAtMs,
    certificateSerial: serial,
    lastRenewalAtMs: Math.round(renewals.lastRenewalAtMs ?? 0),
    renewalFailures: renewals.failureCount,
    failureCode: failure?.code ?? '',
    failureReason: failure?.reason.slice(0, MAX_REASON_LENGTH) ?? '',
    failedAtMs: Math.round(failure?.atMs ?? 0),
    trustedRoots: trustedRoots.slice(0, MAX_TRUSTED_ROOTS),
    plaintextCallers: callers.slice(0, MAX_PLAINTEXT_CALLERS).map((caller) => ({ ...caller })),
    plaintextSinceMs: Math.round(performance.timeOrigin), // the process began to listen with it
  };
}
