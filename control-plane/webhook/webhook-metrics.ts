import { createGateCounts, type GateCounts } from '../listener/connection-gate.ts';
import { refusedConnectionLines } from '../listener/refused-connection-lines.ts';

/** Counters of both webhooks since the start. `failed`: our own fault; the API server was told to refuse. */
export interface WebhookMetrics {
  readonly injections: { injected: number; skipped: number; refused: number; failed: number };
  readonly validations: { allowed: number; refused: number; failed: number };
  /** Requests that were no AdmissionReview, or beyond a bound. */
  malformed: number;
  /** Reviews sent away since too many were asked for at a time. */
  overloaded: number;
  readonly connections: GateCounts;
  /** When the certificate in force ends; 0: there is none yet. */
  certificateNotAfterMs: number;
}

export function createWebhookMetrics(): WebhookMetrics {
  return {
    injections: { injected: 0, skipped: 0, refused: 0, failed: 0 },
    validations: { allowed: 0, refused: 0, failed: 0 },
    malformed: 0,
    overloaded: 0,
    connections: createGateCounts(),
    certificateNotAfterMs: 0,
  };
}

/** Lines of the Prometheus text exposition format 0.0.4. */
export function webhookMetricLines(metrics: WebhookMetrics): string[] {
  const prefix = 'lateral_control_plane_webhook';
  const counted = (name: string, help: string, counts: { readonly [outcome: string]: number }) => [
    `# HELP ${prefix}_${name} ${help}`,
    `# TYPE ${prefix}_${name} counter`,
    ...Object.entries(counts).map(([outcome, count]) => `${prefix}_${name}{outcome="${outcome}"} ${count}`),
  ];
  return [
    ...counted('injections_total', 'Pods seen at admission, by outcome.', metrics.injections),
    ...counted('validations_total', 'Resources seen at admission, by outcome.', metrics.validations),
    `# HELP ${prefix}_malformed_total Requests that were no AdmissionReview, or beyond a bound.`,
    `# TYPE ${prefix}_malformed_total counter`,
    `${prefix}_malformed_total ${metrics.malformed}`,
    `# HELP ${prefix}_overloaded_total Reviews sent away since too many were asked for at a time.`,
    `# TYPE ${prefix}_overloaded_total counter`,
    `${prefix}_overloaded_total ${metrics.overloaded}`,
    ...refusedConnectionLines(prefix, metrics.connections),
    `# HELP ${prefix}_certificate_expiry_timestamp_seconds When the certificate of the webhooks ends; 0: none yet.`,
    `# TYPE ${prefix}_certificate_expiry_timestamp_seconds gauge`,
    `${prefix}_certificate_expiry_timestamp_seconds ${Math.floor(metrics.certificateNotAfterMs / 1000)}`,
  ];
}
