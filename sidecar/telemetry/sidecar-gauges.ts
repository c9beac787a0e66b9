import type { PolicyStatus } from '../policy/policy-status.ts';
import { memoryInUseBytes, processPressure, residentBytes } from '../pressure/process-pressure.ts';
import type { DenialWatch } from './denial-watch.ts';
import type { Gauge } from './metrics.ts';

function value(name: string, help: string, type: Gauge['type'], read: () => number): Gauge {
  return { name, help, type, read: () => [['', read()]] };
}

/** What each thread with traffic has of its own; those of several threads are summed up. */
export function trafficGauges(
  watch: { readonly size: number },
  log: { readonly dropped: number } | undefined,
  connections: () => { readonly open: number; readonly waiting: number; readonly turnedAway: number },
): Gauge[] {
  return [
    value('lateral_connections_open', 'Accepted connections that are served.', 'gauge', () => connections().open),
    value(
      'lateral_connections_waiting',
      'Accepted connections that wait unread: under pressure, or beyond maxConnections.',
      'gauge',
      () => connections().waiting,
    ),
    value(
      'lateral_connections_turned_away_total',
      'Connections that found no room to wait, waited in vain, or came from an address whose handshakes cost too much.',
      'counter',
      () => connections().turnedAway,
    ),
    value(
      'lateral_overloaded',
      'Threads that refuse new requests because memory or processor time is short.',
      'gauge',
      () => (processPressure.isRefusing ? 1 : 0),
    ),
    value('lateral_overload_episodes_total', 'Times that refusing began.', 'counter', () => processPressure.episodes),
    value(
      'lateral_memory_in_use_bytes',
      'Resident memory without what is free within the process: by this requests are refused.',
      'gauge',
      memoryInUseBytes,
    ),
    value(
      'lateral_event_loop_delay_seconds',
      'How late the event loop was by the last sample; of several threads, their sum.',
      'gauge',
      () => processPressure.loopDelayMs / 1_000,
    ),
    value('lateral_requests_in_flight', 'Requests under way.', 'gauge', () => watch.size),
    value(
      'lateral_access_log_dropped_total',
      'Log lines lost because their reader was too slow.',
      'counter',
      () => log?.dropped ?? 0,
    ),
  ];
}

export function lostSpans(spans: { readonly lost: number } | undefined): Gauge {
  return value('lateral_spans_lost_total', 'Spans the collector did not take.', 'counter', () => spans?.lost ?? 0);
}

/** What there is once in a sidecar: policy, memory. */
export function sidecarGauges(policy: PolicyStatus): Gauge[] {
  return [
    {
      name: 'lateral_policy_info',
      help: 'The policy version in force.',
      type: 'gauge',
      read: () => [[`{version="${policy.snapshot?.version ?? ''}"}`, policy.snapshot === undefined ? 0 : 1]],
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
    value(
      'lateral_memory_limit_bytes',
      'Of the memory limit of the container or the machine, what the sidecar may use.',
      'gauge',
      () => processPressure.limits.memoryBytes,
    ),
    value('process_resident_memory_bytes', 'Resident memory.', 'gauge', residentBytes),
    value('process_cpu_seconds_total', 'Processor time, user and system.', 'counter', () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    }),
  ];
}

/** Callers that were refused so often, or so many different paths, that an event says so. */
export function denialAlerts(watch: DenialWatch): Gauge {
  return {
    name: 'lateral_denial_alerts_total',
    help: 'Callers that were refused more often within a minute, or more different paths, than MeshDefaults.authorization.denialAlerts says.',
    type: 'counter',
    read: () => [...watch.counts].map(([kind, count]) => [`{kind="${kind}"}`, count]),
  };
}
