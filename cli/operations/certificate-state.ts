import type { CertificateFacts } from '#control-plane/operations/vitals-facts.ts';

/** `23h59m left`; `expired`; with `renewal fails: CODE` before it where the last attempt to renew failed; `-`: not known. */
export function certificateState(certificate: CertificateFacts | null, nowMs: number): string {
  if (certificate === null) return '-';
  const { expiresAt, failure } = certificate;
  const restMs = Date.parse(expiresAt) - nowMs;
  const rest = restMs > 0 ? `${shortTime(restMs)} left` : 'expired';
  return failure === null ? rest : `renewal fails: ${failure.code}, ${rest}`;
}

/** `45s`, `12m`, `23h59m`, `89d23h`: at most two units. */
function shortTime(ms: number): string {
  const seconds = Math.floor(ms / 1_000);
  const [minutes, hours, days] = [60, 3_600, 86_400].map((unit) => Math.floor(seconds / unit));
  if (!minutes) return `${seconds}s`;
  if (!hours) return `${minutes}m`;
  if (!days) return `${hours}h${String(minutes - hours * 60).padStart(2, '0')}m`;
  return `${days}d${hours - days * 24}h`;
}
