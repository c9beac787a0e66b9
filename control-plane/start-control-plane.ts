import { type Authority, createAuthority, LEAF_LIFETIME_MS } from './authority/authority.ts';
import { openAuthorityDirectory } from './authority/authority-directory.ts';
import type { AuthorityMaterial } from './authority/authority-material.ts';
import {
  type ControlPlaneCertificate,
  issueControlPlaneCertificate,
  keepControlPlaneCertificate,
} from './authority/control-plane-certificate.ts';
import type { ControlPlaneConfiguration } from './configuration.ts';
import { createPolicyDistribution } from './discovery/policy-distribution.ts';
import { createSidecarRegistry } from './discovery/sidecar-registry.ts';
import type { WorkloadDirectory } from './discovery/workload-directory.ts';
import type { EventLog } from './event-log.ts';
import { type ControlPlaneServerOptions, startControlPlaneServer } from './grpc/control-plane-server.ts';
import type { ServerIdentity } from './grpc/server-credentials.ts';
import type { ApiConnection } from './kubernetes/client/api-connection.ts';
import type { ClusterView } from './kubernetes/cluster-view.ts';
import type { KubernetesSource } from './kubernetes/kubernetes-source.ts';
import type { Kubernetes } from './kubernetes/open-kubernetes.ts';
import { createObservationLog } from './observation/observation-log.ts';
import { type PolicyFolderOptions, startPolicyFolder } from './source/policy-folder.ts';
import type { SourceStatus } from './source/source-status.ts';
import { createMetrics } from './status/metrics.ts';
import { probePages, type StatusFacts, statusPages, type WatchState } from './status/status-pages.ts';
import { servePages, startStatusServer } from './status/status-server.ts';
import { openTokenStore, type TokenStore } from './tokens/token-store.ts';
import type { RunningWebhooks } from './webhook/start-webhooks.ts';
import { webhookMetricLines } from './webhook/webhook-metrics.ts';

/** Records of expired join tokens are removed this often. */
const TOKEN_PURGE_INTERVAL_MS = 10 * 60_000;

export interface ControlPlaneOptions {
  readonly log: EventLog;
  /** Takes `file:line:column: severity code message`, one a line. */
  readonly printProblems: (lines: readonly string[]) => void;
  /** Default LEAF_LIFETIME_MS. */
  readonly leafLifetimeMs?: number;
  /** Default HEARTBEAT_INTERVAL_MS. */
  readonly heartbeatIntervalMs?: number;
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

/** What ends a part that was started; run in reverse order. */
type Closer = () => void | Promise<void>;

async function start(
  configuration: ControlPlaneConfiguration,
  options: ControlPlaneOptions,
  closers: Closer[],
): Promise<Omit<RunningControlPlane, 'close'>> {
  const { mesh, statusPort } = configuration;
  const { log, printProblems, leafLifetimeMs = LEAF_LIFETIME_MS } = options;
  const now = Date.now;
  const probes = await startProbes(configuration, closers);
  const kubernetes = await startKubernetes(configuration, options, closers);
  const material = await openMaterial(configuration, kubernetes, now());
  const authority = createAuthority(material, { leafLifetimeMs, now });
  const tokens = await startTokenStore(configuration.tokenDirectory, log, closers);
  const metrics = createMetrics();
  const distribution = createPolicyDistribution(mesh);
  const registry = createSidecarRegistry();
  const observations = createObservationLog();
  const shared = { mesh, metrics, distribution, log, printProblems };

  probes.waitsFor('policies are not in force yet');
  const policies = await startSource(configuration, kubernetes, shared, closers);
  const source = () => policies.status;
  const facts = {
    registry,
    observations,
    metrics,
    source,
    watches: () => policies.watches(),
    furtherMetrics: () => (webhooks === undefined ? [] : webhookMetricLines(webhooks.metrics)),
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
  const services = { ...shared, authority, tokens, reviewToken, workloads, registry, observations, source, now };
  const server = await startServer(configuration, options, services, closers);
  if (configuration.authority.kind === 'kubernetesSecret') {
    kubernetes?.keepAuthority(configuration.authority.name, (changed) => {
      authority.replace(changed);
      server.renew();
      log('authority_changed', { issuerExpiresAt: new Date(authority.issuerNotAfterMs).toISOString() });
    });
  }
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
  const status = statusPort === undefined ? undefined : await startStatusServer(statusPort, statusPages(facts));
  if (status !== undefined) closers.push(() => status.close());
  probes.ready(facts);
  closers.push(() => probes.waitsFor('it ends'));
  return {
    address: server.address,
    statusPort: status?.port,
    metricsPort: probes.port,
    get trustBundlePem() {
      return authority.trustBundlePem;
    },
    policyVersion: () => policies.status.version,
    view: policies.kubernetes?.state,
  };
}

/** Serves the probes of the kubelet before anything else: what waits for the API server is alive, and not ready. */
async function startProbes({ metrics }: ControlPlaneConfiguration, closers: Closer[]) {
  let notReady: string | undefined = 'the authority is not there yet';
  let facts: StatusFacts | undefined;
  const listener = metrics === undefined ? undefined : { ...metrics, field: 'metrics', isLoopbackOnly: false };
  const pages = probePages(
    () => facts,
    () => notReady,
  );
  const server = listener === undefined ? undefined : await servePages(listener, pages);
  if (server !== undefined) closers.push(() => server.close());
  return {
    port: server?.port,
    waitsFor(reason: string) {
      notReady = reason;
    },
    ready(known: StatusFacts) {
      facts = known;
      notReady = undefined;
    },
  };
}

/** Undefined: nothing of the configuration is in Kubernetes, and nothing of it is loaded. */
async function startKubernetes(
  { mesh, source, authority }: ControlPlaneConfiguration,
  { log, signal = NEVER, apiConnection }: ControlPlaneOptions,
  closers: Closer[],
): Promise<Kubernetes | undefined> {
  if (source.kind !== 'kubernetes' && authority.kind !== 'kubernetesSecret') return undefined;
  const { openKubernetes } = await import('./kubernetes/open-kubernetes.ts');
  const kubernetes = await openKubernetes({ mesh, log, signal }, apiConnection);
  closers.push(() => kubernetes.close());
  return kubernetes;
}

function openMaterial(
  { authority, mesh }: ControlPlaneConfiguration,
  kubernetes: Kubernetes | undefined,
  nowMs: number,
): Promise<AuthorityMaterial> {
  if (authority.kind === 'directory') return openAuthorityDirectory(authority.directory, mesh, nowMs);
  if (kubernetes === undefined) throw new Error('authority.kubernetesSecret needs a Kubernetes API server');
  return kubernetes.openAuthority(authority.name);
}

/** What a source of policies is to the rest. */
interface RunningSource {
  readonly status: SourceStatus;
  watches(): readonly WatchState[];
  readonly kubernetes: KubernetesSource | undefined;
  readonly workloads: WorkloadDirectory | undefined;
}

async function startSource(
  { source, meshDefaults }: ControlPlaneConfiguration,
  kubernetes: Kubernetes | undefined,
  shared: Omit<PolicyFolderOptions, 'directory' | 'lastGoodFile'>,
  closers: Closer[],
): Promise<RunningSource> {
  if (source.kind === 'kubernetes' && kubernetes !== undefined) {
    const cluster = await kubernetes.startSource({ ...shared, clusterDomain: source.clusterDomain, meshDefaults });
    return {
      get status() {
        return cluster.status;
      },
      watches: () => cluster.watches,
      kubernetes: cluster,
      workloads: cluster.workloads,
    };
  }
  if (source.kind !== 'directory') throw new Error('source.kubernetes needs a Kubernetes API server');
  const { directory, lastGoodFile } = source;
  const folder = await startPolicyFolder({ ...shared, directory, lastGoodFile });
  closers.push(() => folder.close());
  return {
    get status() {
      return folder.status;
    },
    watches: () => [],
    kubernetes: undefined,
    workloads: undefined,
  };
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
  const { startAdmission } = await import('./start-admission.ts');
  const { authority, kubernetes } = parts;
  const { clusterDomain } = source;
  const view = parts.source.state;
  const webhooks = await startAdmission({ listen, injection, mesh, clusterDomain, authority, view, kubernetes, log });
  closers.push(() => webhooks.close());
  signal.addEventListener('abort', () => void webhooks.close(), { once: true });
  await webhooks.serving;
  return webhooks;
}

async function startTokenStore(
  directory: string | undefined,
  log: EventLog,
  closers: Closer[],
): Promise<TokenStore | undefined> {
  if (directory === undefined) return undefined;
  const tokens = await openTokenStore(directory, Date.now);
  const purge = () => tokens.purge().catch((error: unknown) => log('token_purge_failed', { error: String(error) }));
  await purge();
  const timer = setInterval(() => void purge(), TOKEN_PURGE_INTERVAL_MS);
  closers.push(() => clearInterval(timer));
  return tokens;
}

interface RunningServer {
  readonly address: string;
  /** What it proves itself with, now. */
  readonly identity: () => ServerIdentity;
  /** Takes another certificate, by the authority as it is now. */
  renew(): void;
}

/** Serves gRPC under the control plane's own certificate, and keeps that fresh. */
async function startServer(
  { listen, mesh }: ControlPlaneConfiguration,
  { heartbeatIntervalMs }: ControlPlaneOptions,
  services: Omit<ControlPlaneServerOptions, 'listen' | 'identity'>,
  closers: Closer[],
): Promise<RunningServer> {
  const { authority, log } = services;
  const certificate = issueControlPlaneCertificate(authority, mesh);
  let identity: ServerIdentity = { ...certificate, trustBundlePem: authority.trustBundlePem };
  const server = await startControlPlaneServer({
    ...services,
    listen,
    identity,
    ...(heartbeatIntervalMs === undefined ? {} : { heartbeatIntervalMs }),
  });
  closers.push(() => server.close());
  const renew = (): ControlPlaneCertificate => {
    const renewed = issueControlPlaneCertificate(authority, mesh);
    identity = { ...renewed, trustBundlePem: authority.trustBundlePem };
    server.renewIdentity(identity);
    return renewed;
  };
  closers.push(
    keepControlPlaneCertificate(certificate, renew, (error) => log('own_renewal_failed', { error: String(error) })),
  );
  return { address: server.address, identity: () => identity, renew };
}
