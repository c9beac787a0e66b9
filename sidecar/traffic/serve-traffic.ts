import type { Socket } from 'node:net';
import { Refusal } from '#policy/error/refusal.ts';
import type { Snapshot } from '#policy/resource-set.ts';
import { type SidecarConfiguration, splitHostPort } from '../configuration/sidecar-configuration.ts';
import type { Recorder } from '../exchange/record.ts';
import { StallWatch } from '../exchange/stall-watch.ts';
import { AppUpstream } from '../http/app-upstream.ts';
import { Http1Upstream } from '../http/h1/upstream.ts';
import { Http2Upstream } from '../http/h2/upstream.ts';
import type { CredentialSource } from '../identity/credentials.ts';
import { TlsContexts } from '../identity/tls-contexts.ts';
import { inboundListener } from '../inbound/inbound-listener.ts';
import type { Listener } from '../listener/listener.ts';
import { outboundListener } from '../outbound/outbound-listener.ts';
import { PeerPools } from '../outbound/peer-pools.ts';
import type { PolicyInForce } from '../policy/policy-in-force.ts';
import { shareProcess } from '../pressure/process-pressure.ts';
import { AccessLog } from '../telemetry/access-log.ts';
import { ConnectionRecorder } from '../telemetry/connection-recorder.ts';
import type { LogWriter } from '../telemetry/log-writer.ts';
import { type Gauge, Metrics } from '../telemetry/metrics.ts';
import { trafficGauges } from '../telemetry/sidecar-gauges.ts';
import type { Traffic } from './traffic.ts';
import { trafficAddresses } from './traffic-addresses.ts';

/** Requests under way get this long to end when the sidecar is told to stop. */
export const DRAIN_TIMEOUT_MS = 5_000;
/** What was given up when the drain was over gets this long to be recorded. */
export const RECORDING_GRACE_MS = 200;

export interface TrafficOptions {
  readonly configuration: SidecarConfiguration;
  readonly credentials: CredentialSource;
  readonly policy: PolicyInForce;
  /** Undefined: there is no access log. It is the caller's to close. */
  readonly log: LogWriter | undefined;
  /** What secrets in the access log are hashed with. */
  readonly logKey: Uint8Array;
  /** Take what ended, besides log and metrics. */
  readonly recorders: readonly Recorder[];
  /** Counted besides what traffic itself has. */
  readonly gauges: readonly Gauge[];
  /** Other threads listen on the same ports. */
  readonly isShared: boolean;
}

/** The listeners of one thread, the pipelines behind them, and what these record. */
export class ServedTraffic implements Traffic {
  readonly #options: TrafficOptions;
  readonly #watch = new StallWatch();
  readonly #metrics = new Metrics();
  readonly #listeners: Listener[] = [];
  readonly #upstreams: AppUpstream[] = [];
  readonly #pools: PeerPools;
  #isServing = false;

  constructor(options: TrafficOptions) {
    this.#options = options;
    const { configuration, credentials, policy, log, logKey, recorders, gauges } = options;
    const { identity } = credentials.current();
    shareProcess(options.isShared ? configuration.concurrency : 1);
    const contexts = new TlsContexts(credentials);
    const refusals = new ConnectionRecorder(this.#metrics, log, recorders, identity.uri);
    const shared = {
      policy: () => policy.current,
      sampleRatio: configuration.telemetry.sampleRatio,
      watch: this.#watch,
      recorders: [this.#metrics, ...(log === undefined ? [] : [new AccessLog(log, logKey)]), ...recorders],
    };
    const connections = () => countConnections(this.#listeners);
    for (const gauge of [...trafficGauges(this.#watch, log, connections), ...gauges]) this.#metrics.add(gauge);
    for (const { app, protocol } of configuration.inbound) {
      const target = splitHostPort(app);
      if (target === undefined) throw new Error(`${app} is not HOST:PORT`);
      const upstream = new AppUpstream(target.host, target.port, protocol);
      this.#upstreams.push(upstream);
      const inbound = {
        ...shared,
        upstream,
        ownIdentity: identity.uri,
        app: { address: target.host, port: target.port },
      };
      const speaks = protocol === 'grpc' ? 'http' : protocol;
      const listener = inboundListener(speaks, inbound, contexts, configuration.trustDomain, refusals);
      credentials.onRenewal(() => listener.renew(contexts.server()));
      this.#listeners.push(listener);
    }
    this.#pools = peerPools(configuration, contexts);
    if (configuration.outbound === undefined) return;
    this.#listeners.push(outboundListener({ ...shared, pools: this.#pools, ownIdentity: identity }, refusals));
  }

  get isServing(): boolean {
    return this.#isServing;
  }

  prepare(snapshot: Snapshot) {
    return this.#options.policy.prepare(snapshot);
  }

  async open(): Promise<void> {
    const { configuration, isShared } = this.#options;
    for (const [index, { port, address }] of trafficAddresses(configuration).entries()) {
      await this.#listeners[index]?.open(port, address, isShared).catch((error: unknown) => {
        throw new Error(
          `cannot listen on ${address}:${port}: ${error instanceof Error ? error.message : String(error)}`,
        );
      });
    }
    this.#isServing = true;
  }

  async metrics(): Promise<Metrics> {
    return this.#metrics;
  }

  async drain(): Promise<void> {
    this.#isServing = false;
    const overdue = Promise.withResolvers<void>();
    const deadline = setTimeout(() => {
      this.#watch.giveUpAll(new Refusal('draining', `the sidecar stopped; drainTimeoutMs ${DRAIN_TIMEOUT_MS} is over`));
      // what is refused now still has to leave
      setTimeout(() => {
        for (const listener of this.#listeners) listener.destroy();
        overdue.resolve();
      }, RECORDING_GRACE_MS);
    }, DRAIN_TIMEOUT_MS);
    await Promise.all(this.#listeners.map((listener) => listener.drain()));
    await Promise.race([this.#watch.whenEmpty(), overdue.promise]); // callers are gone; an app may still take what they said
    clearTimeout(deadline);
    this.#pools.close();
    for (const upstream of this.#upstreams) upstream.close();
    this.#watch.close();
  }
}

function countConnections(listeners: readonly Listener[]): Listener['counts'] {
  const sum = { open: 0, waiting: 0, turnedAway: 0 };
  for (const { counts } of listeners) {
    sum.open += counts.open;
    sum.waiting += counts.waiting;
    sum.turnedAway += counts.turnedAway;
  }
  return sum;
}

function peerPools(configuration: SidecarConfiguration, contexts: TlsContexts): PeerPools {
  const ownPorts = new Set(trafficAddresses(configuration).map(({ port }) => port));
  // by the connection itself: a name or a spelling of the address cannot hide where it went (AllowAny)
  const isOwnListener = (socket: Socket) =>
    ownPorts.has(socket.remotePort ?? 0) && socket.remoteAddress === socket.localAddress;
  return new PeerPools(
    (address, port, peer) =>
      peer === undefined
        ? new AppUpstream(address, port, 'http', isOwnListener)
        : new Http2Upstream({ address, port, peer, fallback: () => new Http1Upstream(address, port, peer) }),
    ({ identity }) => (identity === undefined ? undefined : contexts.peer(identity)),
  );
}
