import type { SidecarRegistry } from '../discovery/sidecar-registry.ts';
import type { WorkloadDirectory } from '../discovery/workload-directory.ts';
import { refusedConnectionLines } from '../listener/refused-connection-lines.ts';
import type { ObservationLog } from '../observation/observation-log.ts';
import type { RuleUses } from '../observation/rule-uses.ts';
import { proxyFactsOf, proxyStateOf } from '../operations/proxy-facts.ts';
import type { SourceStatus } from '../source/source-status.ts';
import type { ControlPlaneMetrics } from './metrics.ts';
import type { StatusPage, StatusPages } from './status-server.ts';

export interface StatusFacts {
  readonly registry: SidecarRegistry;
  /** Undefined: nobody knows whose an address is. */
  readonly workloads: WorkloadDirectory | undefined;
  readonly observations: ObservationLog;
  readonly ruleUses: Pick<RuleUses, 'currentFacts'>;
  readonly metrics: ControlPlaneMetrics;
  readonly source: () => SourceStatus;
  readonly issuerNotAfterMs: number;
  /** How well each collection of the Kubernetes API is known; empty: none is watched. */
  readonly watches: () => readonly WatchState[];
  /** Undefined: there is no election. */
  readonly isLeader: boolean | undefined;
  /** Of parts that not every control plane has: lines of the Prometheus text format. */
  readonly furtherMetrics: () => readonly string[];
}

/** One collection of the Kubernetes API, as it is watched. */
export interface WatchState {
  readonly name: string;
  readonly objects: number;
  readonly isWatching: boolean;
  readonly lists: number;
  readonly watches: number;
  readonly failures: number;
}

/** For the kubelet and Prometheus, from the very start; `facts` and the reason not to be ready are those of the moment. */
export function probePages(facts: () => StatusFacts | undefined, notReady: () => string | undefined): StatusPages {
  return {
    '/livez': () => text('ok\n'),
    '/readyz': () => {
      const reason = notReady();
      return reason === undefined ? text('ok\n') : { ...text(`not ready: ${reason}\n`), status: 503 };
    },
    '/metrics': () => {
      const now = facts();
      const body = now === undefined ? '' : prometheusText(now);
      return { contentType: PROMETHEUS, body };
    },
  };
}

const PROMETHEUS = 'text/plain; version=0.0.4';

/** What the control plane tells its operator. */
export function statusPages(facts: StatusFacts): StatusPages {
  return {
    '/livez': () => text('ok\n'),
    // This server starts last and ends first: while it answers, gRPC is served and policies are in force.
    '/readyz': () => text('ok\n'),
    '/metrics': () => ({ contentType: PROMETHEUS, body: prometheusText(facts) }),
    '/proxies': () => json({ source: facts.source(), proxies: proxiesOf(facts) }),
    '/rules': async () => json(await facts.ruleUses.currentFacts()),
    '/decisions': () =>
      json({
        decisions: facts.observations.decisions,
        counts: facts.observations.counts,
        droppedDecisions: facts.observations.droppedDecisions,
      }),
  };
}

function proxiesOf({ registry, workloads }: StatusFacts) {
  return registry.sidecars.map((sidecar) => proxyFactsOf(sidecar, workloads?.ownerOf));
}

/** Prometheus text exposition format 0.0.4. */
function prometheusText(facts: StatusFacts): string {
  const { registry, metrics, observations, source, issuerNotAfterMs } = facts;
  const states = registry.sidecars.map(proxyStateOf);
  const count = (state: string) => states.filter((one) => one === state).length;
  const { version, lastApply, resourceCount } = source();
  const lines = [
    '# HELP lateral_control_plane_sidecars Connected sidecars by state of their policies.',
    '# TYPE lateral_control_plane_sidecars gauge',
    ...['current', 'pending', 'refused'].map(
      (state) => `lateral_control_plane_sidecars{state="${state}"} ${count(state)}`,
    ),
    '# HELP lateral_control_plane_updates_total Updates sent to sidecars, and their answers.',
    '# TYPE lateral_control_plane_updates_total counter',
    ...Object.entries(metrics.updates).map(([kind, n]) => `lateral_control_plane_updates_total{kind="${kind}"} ${n}`),
    '# HELP lateral_control_plane_certificates_signed_total Certificates signed, by what proved the caller.',
    '# TYPE lateral_control_plane_certificates_signed_total counter',
    ...Object.entries(metrics.signings).map(
      ([by, n]) => `lateral_control_plane_certificates_signed_total{by="${by}"} ${n}`,
    ),
    ...single('signing_refusals_total', 'counter', 'Refused requests for a certificate.', metrics.signingRefusals),
    ...single(
      'signings_over_rate_total',
      'counter',
      'Refused requests for a certificate of callers that asked too often.',
      metrics.signingsOverRate,
    ),
    ...single('subscription_refusals_total', 'counter', 'Refused subscriptions.', metrics.subscriptionRefusals),
    ...single(
      'subscriptions_replaced_total',
      'counter',
      'Streams that ended for a newer one of the same workload.',
      metrics.places.replaced,
    ),
    '# HELP lateral_control_plane_subscriptions_over_limit_total Subscriptions refused by the bound of all, of an identity, of streams without a Hello, or of one stream a workload.',
    '# TYPE lateral_control_plane_subscriptions_over_limit_total counter',
    ...Object.entries(metrics.places.refused).map(
      ([bound, n]) => `lateral_control_plane_subscriptions_over_limit_total{bound="${bound}"} ${n}`,
    ),
    ...refusedConnectionLines('lateral_control_plane', metrics.connections),
    ...single('reports_total', 'counter', 'Reports taken from sidecars.', metrics.reports),
    ...single('dropped_decisions_total', 'counter', 'Decisions that sidecars dropped.', observations.droppedDecisions),
    '# HELP lateral_control_plane_applies_total Changes of the source that were read, by outcome.',
    '# TYPE lateral_control_plane_applies_total counter',
    ...Object.entries(metrics.applies).map(
      ([outcome, n]) => `lateral_control_plane_applies_total{outcome="${outcome}"} ${n}`,
    ),
    ...single(
      'last_apply_success',
      'gauge',
      '1: all of the source as it is now is in force.',
      lastApply.isInForce ? 1 : 0,
    ),
    ...single('resources', 'gauge', 'Resources in force.', resourceCount),
    '# HELP lateral_control_plane_policy_info The version of all resources in force.',
    '# TYPE lateral_control_plane_policy_info gauge',
    `lateral_control_plane_policy_info{version="${version}"} 1`,
    ...single(
      'issuer_expiry_timestamp_seconds',
      'gauge',
      'When the issuing certificate ends.',
      Math.floor(issuerNotAfterMs / 1000),
    ),
    ...kubernetesLines(facts),
  ];
  return `${[...lines, ...facts.furtherMetrics()].join('\n')}\n`;
}

/** Names of watches are few: kinds, and the ConfigMaps that schemas name. */
function kubernetesLines({ watches, isLeader }: StatusFacts): readonly string[] {
  const states = watches();
  if (states.length === 0) return [];
  const series = (name: string, type: string, help: string, value: (state: WatchState) => number) => [
    `# HELP lateral_control_plane_kubernetes_${name} ${help}`,
    `# TYPE lateral_control_plane_kubernetes_${name} ${type}`,
    ...states.map((state) => `lateral_control_plane_kubernetes_${name}{resource="${state.name}"} ${value(state)}`),
  ];
  return [
    ...series('objects', 'gauge', 'Objects that are kept.', ({ objects }) => objects),
    ...series('watching', 'gauge', '1: a watch is open.', ({ isWatching }) => (isWatching ? 1 : 0)),
    ...series('lists_total', 'counter', 'Whole lists taken in.', ({ lists }) => lists),
    ...series('watches_total', 'counter', 'Watches begun.', ({ watches: begun }) => begun),
    ...series('failures_total', 'counter', 'Lists and watches that failed.', ({ failures }) => failures),
    ...single('leader', 'gauge', '1: this replica writes the status of resources.', isLeader === true ? 1 : 0),
  ];
}

function single(name: string, type: string, help: string, value: number): string[] {
  const full = `lateral_control_plane_${name}`;
  return [`# HELP ${full} ${help}`, `# TYPE ${full} ${type}`, `${full} ${value}`];
}

function text(body: string): StatusPage {
  return { contentType: 'text/plain; charset=utf-8', body };
}

function json(value: unknown): StatusPage {
  return { contentType: 'application/json', body: `${JSON.stringify(value, null, 2)}\n` };
}
