import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import type { Mesh, Workload } from '#policy/workload-policy.ts';
import { observationRoutes } from './admin/observation-routes.ts';
import { openAdmin } from './admin/open-admin.ts';
import { plaintextRoutes } from './admin/plaintext-routes.ts';
import type { CertificateInUse } from './admin/readiness.ts';
import type { SidecarConfiguration } from './configuration/sidecar-configuration.ts';
import type { OpenTap } from './control/relay-tap.ts';
import { logEvent } from './operational-log.ts';
import { generateInWorker } from './policy/generate-in-worker.ts';
import { policyInForceOf } from './policy/policy-in-force.ts';
import { PolicyStatus } from './policy/policy-status.ts';
import { openPolicyFeed, type PolicyFeed } from './policy-feed.ts';
import { certificateGauges } from './telemetry/certificate-gauges.ts';
import { DecisionRing } from './telemetry/decision-ring.ts';
import { DenialWatch } from './telemetry/denial-watch.ts';
import { type LogSink, openLogSink } from './telemetry/log-sink.ts';
import { LogWriter } from './telemetry/log-writer.ts';
import { Metrics } from './telemetry/metrics.ts';
import { denialAlerts, lostSpans, sidecarGauges } from './telemetry/sidecar-gauges.ts';
import type { SpanExporter } from './telemetry/span-exporter.ts';
import { TappedLog } from './telemetry/tapped-log.ts';
import { ServedTraffic } from './traffic/serve-traffic.ts';
import type { Traffic } from './traffic/traffic.ts';

export interface RunningSidecar {
  /** What the `ready` line says. */
  readonly ready: object;
  /** Stops accepting, lets requests under way end for up to DRAIN_TIMEOUT_MS, flushes what was recorded. */
  stop(): Promise<void>;
}

/**
 * Starts a sidecar. Admin and metrics ports open at once (and say "not ready"); the traffic listeners
 * open once certificate and first policies are in force, which is when this resolves.
 */
export async function runSidecar(
  given: SidecarConfiguration,
  baseDirectory: string,
  onDrainRequested: () => void,
): Promise<RunningSidecar> {
  const configuration = withAbsoluteState(given, baseDirectory);
  const { trustDomain, rootNamespace, workload } = configuration;
  const otherDomains = configuration.standalone?.federation?.map((other) => other.trustDomain);
  const mesh: Mesh = { trustDomain, rootNamespace, ...(otherDomains === undefined ? {} : { otherDomains }) };
  const status = new PolicyStatus();
  const { accessLog, otlp } = configuration.telemetry;
  const log = new TappedLog(openLog(accessLog, baseDirectory));
  const ring = new DecisionRing();
  const watch = new DenialWatch(
    () => status.defaults?.denialAlerts,
    (alert) => logEvent('caller_refused_often', { ...alert }),
  );
  let traffic: Traffic | undefined;
  let printMetrics = async () => new Metrics().print();
  const plaintextCallers = async () => (await traffic?.plaintextCallers()) ?? [];
  let certificate: CertificateInUse | undefined;
  const admin = await openAdmin(
    configuration,
    {
      policy: status,
      certificate: () => certificate,
      isReady: () => traffic?.isServing ?? false,
      printMetrics: () => printMetrics(),
    },
    onDrainRequested,
    { ...observationRoutes(log, ring), ...plaintextRoutes(plaintextCallers, new Date(performance.timeOrigin)) },
  );
  const noteRefused = (reasons: readonly string[]) => status.noteRefused(reasons);
  const openTap: OpenTap = (request, out) => log.open(request, out);
  // the exporter is loaded while the control plane signs
  const [feed, spans] = await Promise.all([
    openPolicyFeed(configuration, baseDirectory, workload, mesh, { onRefused: noteRefused, openTap, plaintextCallers }),
    otlp === undefined ? undefined : openSpanExporter(otlp, workload),
  ]);
  certificate = { source: feed.credentials, renewals: feed.renewals };
  const served = await openTraffic(configuration, feed, { log, recorders: [ring, watch], spans });
  const opened = served.traffic;
  traffic = opened;
  printMetrics = async () => {
    const metrics = new Metrics(); // its own each time: gauges are added to it
    metrics.absorb((await opened.metrics()).snapshot());
    const ofCertificate = certificateGauges(feed.credentials, feed.renewals, status, mesh);
    for (const gauge of [...ofCertificate, ...sidecarGauges(status), denialAlerts(watch), lostSpans(spans)])
      metrics.add(gauge);
    return metrics.print();
  };
  await feed.policies.start((snapshot) => status.apply(snapshot, opened));
  await opened.open();

  const stopOnce = async () => {
    await opened.drain();
    await Promise.all([feed.close(), spans?.close()]);
    await served.log.close();
    await admin.close();
  };
  let stopping: Promise<void> | undefined;
  const stop = () => {
    stopping ??= stopOnce();
    return stopping;
  };
  return { ready: readyLine(configuration, feed.credentials.current().identity.uri, status), stop };
}

/** Workers know the directory of the file no more. */
function withAbsoluteState(configuration: SidecarConfiguration, baseDirectory: string): SidecarConfiguration {
  const { stateDirectory } = configuration;
  return stateDirectory === undefined
    ? configuration
    : { ...configuration, stateDirectory: resolve(baseDirectory, stateDirectory) };
}

interface OpenedTraffic {
  readonly traffic: Traffic;
  /** To be closed when nothing is recorded any more. */
  readonly log: { close(): Promise<void> };
}

/** Where the main thread puts what was recorded. */
interface Records {
  readonly log: TappedLog;
  /** Take what was decided, here and in workers. */
  readonly recorders: readonly (DecisionRing | DenialWatch)[];
  readonly spans: SpanExporter | undefined;
}

/** Traffic in this thread; with `concurrency` above 1 in as many workers, and nothing of theirs is loaded otherwise. */
async function openTraffic(
  configuration: SidecarConfiguration,
  { credentials, observer }: PolicyFeed,
  { log: lines, recorders, spans }: Records,
): Promise<OpenedTraffic> {
  if (configuration.concurrency > 1) {
    const { WorkerPool } = await import('./workers/worker-pool.ts');
    const { SharedLog } = await import('./workers/shared-log.ts');
    const log = new SharedLog(lines);
    const onLogWanted = (listener: (isWanted: boolean) => void) => lines.onWanted(listener);
    const decisions = [...recorders, ...(observer === undefined ? [] : [observer])];
    const shared = { configuration, credentials, generate: generateInWorker };
    return { traffic: new WorkerPool({ ...shared, log, onLogWanted, spans, decisions }), log };
  }
  const log = new LogWriter(lines);
  lines.onWanted((isWanted) => {
    log.isOff = !isWanted;
  });
  const policy = policyInForceOf(configuration, generateInWorker);
  observer?.countRules(policy.tallies);
  const traffic = new ServedTraffic({
    configuration,
    credentials,
    policy,
    log,
    logKey: randomBytes(32),
    recorders: [...recorders, ...(spans === undefined ? [] : [spans]), ...(observer === undefined ? [] : [observer])],
    gauges: [],
    isShared: false,
  });
  return { traffic, log };
}

function openLog(accessLog: string, baseDirectory: string): LogSink | undefined {
  if (accessLog === 'off') return undefined;
  try {
    return openLogSink(accessLog === 'stdout' ? 1 : resolve(baseDirectory, accessLog));
  } catch (error) {
    throw new Error(`telemetry.accessLog: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function openSpanExporter(url: string, workload: Workload): Promise<SpanExporter> {
  const { SpanExporter } = await import('./telemetry/span-exporter.ts');
  return new SpanExporter(url, workload);
}

function readyLine(configuration: SidecarConfiguration, identity: string, status: PolicyStatus): object {
  return {
    event: 'ready',
    time: new Date().toISOString(),
    identity,
    inbound: configuration.inbound.map(({ port, app }) => ({ port, app: app ?? null })),
    outbound: configuration.outbound?.port ?? null,
    admin: configuration.admin.port,
    metrics: configuration.metrics.port,
    concurrency: configuration.concurrency,
    policyVersion: status.snapshot?.version,
    startedInMs: Math.round(performance.now()),
  };
}
