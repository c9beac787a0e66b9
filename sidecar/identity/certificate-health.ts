import { X509Certificate } from 'node:crypto';
import type { Credentials } from './credentials.ts';
import type { RenewalRecord } from './renewal-record.ts';

/**
 * Share of a certificate's life below which it is said to end soon. It is renewed at half of it: with so little left, many attempts have
 * failed, and of a day there are almost five hours to do something about it.
 */
const SOON_SHARE = 0.2;

export type CertificateHealth =
  | { readonly kind: 'fine' }
  | { readonly kind: 'certificate_expires_soon' | 'certificate_expired'; readonly reason: string };

/** Whether a certificate serves, and will. */
export function certificateHealth(
  { certificateChainPem, expiresAtMs }: Credentials,
  { failure, receivedAtMs }: RenewalRecord,
  nowMs: number,
): CertificateHealth {
  const restMs = expiresAtMs - nowMs;
  const ends = `at ${new Date(expiresAtMs).toISOString()}; the clock here says ${new Date(nowMs).toISOString()}`;
  const why = failure === undefined ? '' : `; the last renewal failed: ${failure.code}: ${failure.reason}`;
  if (restMs <= 0) return { kind: 'certificate_expired', reason: `the certificate ended ${ends}${why}` };
  // it is valid for some minutes before it was made: of a short life much would be over as it begins
  const validFromMs = new X509Certificate(certificateChainPem).validFromDate.getTime();
  const beganMs = Math.max(validFromMs, Math.min(receivedAtMs ?? validFromMs, nowMs));
  if (restMs >= (expiresAtMs - beganMs) * SOON_SHARE) return { kind: 'fine' };
  return { kind: 'certificate_expires_soon', reason: `the certificate ends ${ends}${why}` };
}
