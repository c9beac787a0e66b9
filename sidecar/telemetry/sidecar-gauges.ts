import type { StallWatch } from '../exchange/stall-watch.ts';
import type { CredentialSource } from '../identity/credentials.ts';
import type { PolicyInForce } from '../policy/policy-in-force.ts';
import type { LogWriter } from './log-writer.ts';
import type { Gauge } from './metrics.ts';

/** The state of a sidecar as metrics: certificate, policy, exchanges in flight, memory. */
export function sidecarGauges(
  credentials: CredentialSource,
  policy: PolicyInForce,
  watch: StallWatch,
  log: LogWriter | undefined,
  spans: { readonly lost: number } | undefined,
): Gauge[] {
  const value = (name: string, help: string, type: Gauge['type'], read: () => number): Gauge => ({
    name,
    help,
    type,
    read: () => [['', read()]],
  });
  return [
    value(
      'lateral_certificate_expiry_timestamp_seconds',
      'When the certificate in use ends.',
      'gauge',
      () => credentials.current().expiresAtMs / 1_000,
    ),
    {
      name: 'lateral_policy_info',
      help: 'The policy version in force.',
      type: 'gauge',
      read: () => [[`{version="${policy.current?.version ?? ''}"}`, policy.current === undefined ? 0 : 1]],
    },
    value(
      'lateral_policy_age_seconds',
      'Time since the policy in force was applied.',
      'gauge',
      () => (Date.now() - policy.appliedAtMs) / 1_000,
    ),
    value('lateral_policy_applied_total', 'Policy versions put in force.', 'counter', () => policy.applied),
    value(
      'lateral_policy_refused_total',
      'Policy versions refused; the one before stayed in force.',
      'counter',
      () => policy.refused,
    ),
    value('lateral_requests_in_flight', 'Requests under way.', 'gauge', () => watch.size),
    value(
      'lateral_access_log_dropped_total',
      'Log lines lost because their reader was too slow.',
      'counter',
      () => log?.dropped ?? 0,
    ),
    value('lateral_spans_lost_total', 'Spans the collector did not take.', 'counter', () => spans?.lost ?? 0),
    value('process_resident_memory_bytes', 'Resident memory.', 'gauge', () => process.memoryUsage.rss()),
    value('process_cpu_seconds_total', 'Processor time, user and system.', 'counter', () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    }),
  ];
}
