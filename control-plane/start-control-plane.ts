import type { Authority } from './authority/authority.ts';
import { authorityMetricLines } from './authority/authority-metrics.ts';
import { TrustSurvey } from './authority/trust-survey.ts';
import type { ControlPlaneConfiguration } from './configuration.ts';
import { createPolicyDistribution } from './discovery/policy-distribution.ts';
import { createSidecarRegistry } from './discovery/sidecar-registry.ts';
import type { EventLog } from './event-log.ts';
import type { RefreshLimits } from './federation/keep-refreshed.ts';
import type { IsRevoked } from './grpc/caller-proofs.ts';
import type { ApiConnection } from './kubernetes/client/api-connection.ts';
import type { KubernetesSource } from './kubernetes/kubernetes-source.ts';
import type { Kubernetes } from './kubernetes/open-kubernetes.ts';
import type { ClusterView } from './kubernetes/resources/cluster-view.ts';
import { createObservationLog } from './observation/observation-log.ts';
import { authorityActions } from './operations/authority-actions.ts';
import type { Closer } from './start/closer.ts';
import { leafTimes, startAuthority } from './start/start-authority.ts';
import { startFederation } from './start/start-federation.ts';
import { startProbes } from './start/start-probes.ts';
import { startRotation } from './start/start-rotation.ts';
import { startRuleUses } from './start/start-rule-uses.ts';
import { startServer } from './start/start-server.ts';
import { startSource } from './start/start-source.ts';
import { startTokenStore } from './start/start-token-store.ts';
import { createMetrics } from './status/metrics.ts';
import { statusPages } from './status/status-pages.ts';
import { startStatusServer } from './status/status-server.ts';
import type { RunningWebhooks } from './webhook/start-webhooks.ts';
import { webhookMetricLines } from './webhook/webhook-metrics.ts';

export interface ControlPlaneOptions {
  readonly log: EventLog;
  /** Takes `file:line:column: severity code message`, one a line. */
  readonly printProblems: (lines: readonly string[]) => void;
  /** Of shorter lives than may be configured: for tests. */
  readonly leafLifetimeMs?: number;
  /** Default Date.now. */
  readonly now?: () => number;
  /** Default HEARTBEAT_INTERVAL_MS. */
  readonly heartbeatIntervalMs?: number;
  /** Default REFRESH_LIMITS. */
  readonly federationLimits?: RefreshLimits;
  /** Ends a start that waits for the Kubernetes API. */
  readonly signal?: AbortSignal;
  /** The API server; default: what `openApiConnection` finds. */
  readonly apiConnection?: ApiConnection;
}

const NEVER = new AbortController().signal;

export interface RunningControlPlane {
  /** `HOST:PORT` of the gRPC server. */
  readonly address: string;
  /** Port of the status server on loopback. */
  readonly statusPort: number | undefined;
  /** Port of the server of metrics and probes. */
  readonly metricsPort: number | undefined;
  /** Port of the bundle endpoint. */
  readonly bundlePort: number | undefined;
  /** The cluster as it is seen now; undefined: policies are in a folder. */
  readonly view: ClusterView | undefined;
  /** The roots in force now. */
  readonly trustBundlePem: string;
  /** Version of all resources in force. */
  policyVersion(): string;
  close(): Promise<void>;
}

/**
 * Starts a control plane: probes, authority, policies, gRPC, status, in this order. It serves once this resolves. Throws
 * with one sentence when a part cannot start; what was started is then closed.
 */
export async function startControlPlane(
  configuration: ControlPlaneConfiguration,
  options: ControlPlaneOptions,
): Promise<RunningControlPlane> {
  const closers: Closer[] = [];
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  try {
    return Object.assign(await start(configuration, options, closers), { close });
  } catch (error) {
    await close();
    throw error;
  }
}

async function start(
  configuration: ControlPlaneConfiguration,
  options: ControlPlaneOptions,
  closers: Closer[],
): Promise<Omit<RunningControlPlane, 'close'>> {
  const { mesh, statusPort } = configuration;
  const { log, printProblems } = options;
  const { now = Date.now, signal = NEVER } = options;
  const probes = await startProbes(configuration, closers);
  const kubernetes = await startKubernetes(configuration, options, closers);
  const identities = await startAuthority(configuration, kubernetes, { ...options, now, signal }, closers);
  const { authority } = identities;
  const federation = await startFederation(
    configuration,
    kubernetes,
    { log, limits: options.federationLimits },
    closers,
  );
  const tokens = await startTokenStore(configuration.tokenDirectory, log, closers);
  const metrics = createMetrics();
  const distribution = createPolicyDistribution(mesh);
  closers.push(federation.onChange(identities.publish(distribution, () => federation.current)));
  const registry = createSidecarRegistry();
  const { leafLifetimeMs } = leafTimes(configuration, options);
  const survey = new TrustSurvey({ registry, mesh, leafLifetimeMs, now });
  closers.push(() => survey.close());
  const observations = createObservationLog();
  const shared = { mesh, metrics, distribution, log, printProblems };

  probes.waitsFor('policies are not in force yet');
  const policies = await startSource(configuration, kubernetes, shared, closers);
  const source = () => policies.status;
  const ruleUses = await startRuleUses(
    configuration,
    { distribution, survey, leafLifetimeMs, cluster: policies.kubernetes, kubernetes, log, now },
    closers,
  );
  const facts = {
    registry,
    ruleUses,
    observations,
    metrics,
    source,
    workloads: policies.workloads,
    watches: () => policies.watches(),
    furtherMetrics: () => [
      ...(webhooks === undefined ? [] : webhookMetricLines(webhooks.metrics)),
      ...federation.metricLines(),
      ...authorityMetricLines(identities.kept, now()),
    ],
    get isLeader() {
      return kubernetes?.isLeader;
    },
    get issuerNotAfterMs() {
      return authority.issuerNotAfterMs;
    },
  };
  let webhooks: RunningWebhooks | undefined;
  const reviewToken = kubernetes?.reviewToken;
  const { workloads } = policies;
  const { trustDomainAliases: aliases = [] } = configuration;
  const isRevoked: IsRevoked = (uri, serial) => authority.revocations.isRevoked(uri, serial);
  const seen = { registry, observations, ruleUses, source, survey };
  const cluster = policies.kubernetes;
  const parts = { identities, survey, identity: () => server.identity(), kubernetes, cluster, log, now };
  const { rotation, operations } = startRotation(configuration, options, parts);
  const services = {
    ...shared,
    ...seen,
    authority,
    operations,
    tokens,
    reviewToken,
    workloads,
    isRevoked,
    aliases,
    now,
  };
  const server = await startServer(configuration, options, services, closers);
  closers.push(authority.revocations.onChange(() => server.endRevoked()));
  identities.keep(
    () => server.renew(),
    () => void rotation.step(),
  );
  if (policies.kubernetes !== undefined) kubernetes?.lead(policies.kubernetes, registry, server.identity);
  if (configuration.webhook !== undefined && kubernetes !== undefined && policies.kubernetes !== undefined) {
    probes.waitsFor('the certificate of the webhooks is not there yet');
    webhooks = await startWebhooks(
      configuration,
      options,
      { authority, kubernetes, source: policies.kubernetes },
      closers,
    );
  }
  const bundlePort = await federation.serveOwn(server.identity, authority);
  const status =
    statusPort === undefined
      ? undefined
      : await startStatusServer(statusPort, statusPages(facts), authorityActions(operations));
  if (status !== undefined) closers.push(() => status.close());
  probes.ready(facts);
  closers.push(() => probes.waitsFor('it ends'));
  return {
    address: server.address,
    statusPort: status?.port,
    metricsPort: probes.port,
    bundlePort,
    get trustBundlePem() {
      return authority.trustBundlePem;
    },
    policyVersion: () => policies.status.version,
    view: policies.kubernetes?.state,
  };
}

/** Undefined: nothing of the configuration is in Kubernetes, and nothing of it is loaded. */
async function startKubernetes(
  configuration: ControlPlaneConfiguration,
  options: ControlPlaneOptions,
  closers: Closer[],
): Promise<Kubernetes | undefined> {
  const { mesh, source, authority } = configuration;
  const { log, signal = NEVER, apiConnection, now = Date.now } = options;
  if (source.kind !== 'kubernetes' && authority.kind !== 'kubernetesSecret') return undefined;
  const { openKubernetes } = await import('./kubernetes/open-kubernetes.ts');
  const kubernetes = await openKubernetes(
    { mesh, log, signal, leafLifetimeMs: leafTimes(configuration, options).leafLifetimeMs, now },
    apiConnection,
  );
  closers.push(() => kubernetes.close());
  return kubernetes;
}

/** Serves the webhooks; resolves once their certificate is there, which the leader makes. */
async function startWebhooks(
  { webhook: listen, injection, mesh, source }: ControlPlaneConfiguration,
  { log, signal = NEVER }: ControlPlaneOptions,
  parts: { readonly authority: Authority; readonly kubernetes: Kubernetes; readonly source: KubernetesSource },
  closers: Closer[],
): Promise<RunningWebhooks> {
  if (listen === undefined || injection === undefined || source.kind !== 'kubernetes') {
    throw new Error('webhook needs injection and source.kubernetes in the configuration');
  }
  const { startAdmission } = await import('./start/start-admission.ts');
  const { authority, kubernetes } = parts;
  const { clusterDomain } = source;
  const view = parts.source.state;
  const webhooks = await startAdmission({ listen, injection, mesh, clusterDomain, authority, view, kubernetes, log });
  closers.push(() => webhooks.close());
  signal.addEventListener('abort', () => void webhooks.close(), { once: true });
  await webhooks.serving;
  return webhooks;
}
