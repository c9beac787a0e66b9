import type { Socket } from 'node:net';
import { resolve } from 'node:path';
import { Refusal } from '#policy/error/refusal.ts';
import type { Mesh, Workload } from '#policy/workload-policy.ts';
import { openAdmin } from './admin/open-admin.ts';
import { type SidecarConfiguration, splitHostPort } from './configuration/sidecar-configuration.ts';
import type { Recorder } from './exchange/record.ts';
import { StallWatch } from './exchange/stall-watch.ts';
import { AppUpstream } from './http/app-upstream.ts';
import { Http1Upstream } from './http/h1/upstream.ts';
import { Http2Upstream } from './http/h2/upstream.ts';
import { TlsContexts } from './identity/tls-contexts.ts';
import { inboundListener } from './inbound/inbound-listener.ts';
import type { Listener } from './listener/listener.ts';
import { outboundListener } from './outbound/outbound-listener.ts';
import { PeerPools } from './outbound/peer-pools.ts';
import { endSpareWorker, startSpareWorker } from './policy/generate-in-worker.ts';
import { PolicyInForce } from './policy/policy-in-force.ts';
import { openPolicyFeed } from './policy-feed.ts';
import { AccessLog } from './telemetry/access-log.ts';
import { ConnectionRecorder } from './telemetry/connection-recorder.ts';
import { LogWriter } from './telemetry/log-writer.ts';
import { Metrics } from './telemetry/metrics.ts';
import { sidecarGauges } from './telemetry/sidecar-gauges.ts';

/** Requests under way get this long to end when the sidecar is told to stop. */
export const DRAIN_TIMEOUT_MS = 5_000;
/** What was given up when the drain was over gets this long to be recorded. */
const RECORDING_GRACE_MS = 200;
const LOOPBACK = '127.0.0.1';

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
  configuration: SidecarConfiguration,
  baseDirectory: string,
  onDrainRequested: () => void,
): Promise<RunningSidecar> {
  const mesh: Mesh = { trustDomain: configuration.trustDomain, rootNamespace: configuration.rootNamespace };
  const workload: Workload = configuration.workload;
  const policy = new PolicyInForce(workload, mesh);
  const watch = new StallWatch();
  const metrics = new Metrics();
  const { accessLog, otlp, sampleRatio } = configuration.telemetry;
  const log = openLog(accessLog, baseDirectory);
  let isReady = false;
  const admin = await openAdmin(configuration, policy, metrics, () => isReady, onDrainRequested);
  // only inbound validates; a folder is read at once, and most have no API description: 7 MB less without
  if (configuration.inbound.length > 0 && configuration.controlPlane !== undefined) startSpareWorker();
  const feed = await openPolicyFeed(configuration, baseDirectory, workload, mesh, (reasons) =>
    policy.noteRefused(reasons),
  );
  await feed.policies.start((snapshot) => policy.apply(snapshot));
  endSpareWorker();

  const identity = feed.credentials.current().identity;
  const spans = otlp === undefined ? undefined : await openSpanExporter(otlp, workload);
  const recorders: Recorder[] = [metrics];
  if (log !== undefined) recorders.push(new AccessLog(log));
  if (spans !== undefined) recorders.push(spans);
  if (feed.observer !== undefined) recorders.push(feed.observer);
  const refusals = new ConnectionRecorder(metrics, log, identity.uri);
  const contexts = new TlsContexts(feed.credentials);
  const inForce = () => {
    if (policy.current === undefined) throw new Refusal('no_policy', 'no policy is in force yet');
    return policy.current;
  };
  const shared = { policy: inForce, sampleRatio, watch, recorders };

  const listeners: { readonly server: Listener; readonly port: number; readonly address: string }[] = [];
  const upstreams: AppUpstream[] = [];
  for (const { port, address = LOOPBACK, app, protocol } of configuration.inbound) {
    const target = splitHostPort(app);
    if (target === undefined) throw new Error(`${app} is not HOST:PORT`);
    const upstream = new AppUpstream(target.host, target.port, protocol);
    upstreams.push(upstream);
    const inbound = {
      ...shared,
      upstream,
      ownIdentity: identity.uri,
      app: { address: target.host, port: target.port },
    };
    const speaks = protocol === 'grpc' ? 'http' : protocol;
    const server = inboundListener(speaks, inbound, contexts, mesh.trustDomain, refusals);
    feed.credentials.onRenewal(() => server.renew(contexts.server()));
    listeners.push({ server, port, address });
  }
  const ownPorts = new Set(
    [...configuration.inbound, ...(configuration.outbound === undefined ? [] : [configuration.outbound])].map(
      ({ port }) => port,
    ),
  );
  // by the connection itself: a name or a spelling of the address cannot hide where it went (AllowAny)
  const isOwnListener = (socket: Socket) =>
    ownPorts.has(socket.remotePort ?? 0) && socket.remoteAddress === socket.localAddress;
  const pools = new PeerPools(
    (address, port, peer) =>
      peer === undefined
        ? new Http1Upstream(address, port, undefined, isOwnListener)
        : new Http2Upstream({ address, port, peer, fallback: () => new Http1Upstream(address, port, peer) }),
    (endpoint) => contexts.peer(endpoint.identity),
  );
  if (configuration.outbound !== undefined) {
    const { port, address = LOOPBACK } = configuration.outbound;
    const server = outboundListener({ ...shared, pools, ownIdentity: identity }, refusals);
    listeners.push({ server, port, address });
  }
  for (const gauge of sidecarGauges(feed.credentials, policy, watch, log, spans)) metrics.add(gauge);
  for (const { server, port, address } of listeners) {
    await server.open(port, address).catch((error: unknown) => {
      throw new Error(`cannot listen on ${address}:${port}: ${error instanceof Error ? error.message : String(error)}`);
    });
  }
  isReady = true;

  const stopOnce = async () => {
    isReady = false;
    const overdue = Promise.withResolvers<void>();
    const deadline = setTimeout(() => {
      watch.giveUpAll(new Refusal('draining', `the sidecar stopped; drainTimeoutMs ${DRAIN_TIMEOUT_MS} is over`));
      for (const { server } of listeners) server.destroy();
      setTimeout(overdue.resolve, RECORDING_GRACE_MS);
    }, DRAIN_TIMEOUT_MS);
    await Promise.all(listeners.map(({ server }) => server.drain()));
    await Promise.race([watch.whenEmpty(), overdue.promise]); // callers are gone; an app may still take what they said
    clearTimeout(deadline);
    pools.close();
    for (const upstream of upstreams) upstream.close();
    watch.close();
    await Promise.all([feed.close(), spans?.close()]);
    await log?.close();
    await admin.close();
  };
  let stopping: Promise<void> | undefined;
  const stop = () => {
    stopping ??= stopOnce();
    return stopping;
  };
  return { ready: readyLine(configuration, identity.uri, policy), stop };
}

function openLog(accessLog: string, baseDirectory: string): LogWriter | undefined {
  if (accessLog === 'off') return undefined;
  try {
    return new LogWriter(accessLog === 'stdout' ? 1 : resolve(baseDirectory, accessLog));
  } catch (error) {
    throw new Error(`telemetry.accessLog: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function openSpanExporter(url: string, workload: Workload) {
  const { SpanExporter } = await import('./telemetry/span-exporter.ts');
  return new SpanExporter(url, workload);
}

function readyLine(configuration: SidecarConfiguration, identity: string, policy: PolicyInForce): object {
  return {
    event: 'ready',
    time: new Date().toISOString(),
    identity,
    inbound: configuration.inbound.map(({ port, app }) => ({ port, app })),
    outbound: configuration.outbound?.port ?? null,
    admin: configuration.admin.port,
    metrics: configuration.metrics.port,
    policyVersion: policy.current?.version,
    startedInMs: Math.round(performance.now()),
  };
}
