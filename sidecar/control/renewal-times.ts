/** Share of the life that was left at its receipt after which a certificate is renewed, and how far jitter moves it. */
const RENEWAL_SHARE = 0.5;
const RENEWAL_JITTER = 0.1;
/** Shortest wait before a renewal, whatever the lifetime. */
export const MIN_RENEWAL_WAIT_MS = 500;
/** Longest wait between attempts to renew. */
export const MAX_RENEWAL_BACKOFF_MS = 5 * 60_000;

/** When a certificate is to be renewed. What counts is when it was received: it is dated back, for clocks that are apart. */
export function renewalDueMs(receivedAtMs: number, expiresAtMs: number, random: () => number = Math.random): number {
  const share = RENEWAL_SHARE + RENEWAL_JITTER * (2 * random() - 1);
  return receivedAtMs + Math.max(MIN_RENEWAL_WAIT_MS, (expiresAtMs - receivedAtMs) * share);
}

/** Longest wait between attempts once the certificate has ended: nothing works until there is another. */
export const MAX_WAIT_WITHOUT_CERTIFICATE_MS = 5_000;

/** How long to wait after a failed renewal: as the backoff says, and close to the end less. */
export function retryWaitMs(backoffMs: number, restMs: number, random: () => number = Math.random): number {
  if (restMs <= 0) {
    const longestMs = MAX_WAIT_WITHOUT_CERTIFICATE_MS * (0.5 + random() / 2);
    return Math.max(MIN_RENEWAL_WAIT_MS, Math.min(backoffMs, longestMs));
  }
  return Math.max(MIN_RENEWAL_WAIT_MS, Math.min(backoffMs, restMs / 4 + MIN_RENEWAL_WAIT_MS));
}
