import { Refusal } from '#policy/error/refusal.ts';
import type { Snapshot } from '#policy/resource-set.ts';
import type { Endpoint } from '#policy/workload-policy.ts';
import { Providers } from '../authorization/providers.ts';
import { type SidecarConfiguration, splitHostPort } from '../configuration/sidecar-configuration.ts';
import type { Recorder } from '../exchange/record.ts';
import { StallWatch } from '../exchange/stall-watch.ts';
import { AppUpstream } from '../http/app-upstream.ts';
import { dial, type IsOwnListener, type PlaintextWay } from '../http/dial.ts';
import { Http1Upstream } from '../http/h1/upstream.ts';
import { Http2Upstream } from '../http/h2/upstream.ts';
import type { CredentialSource } from '../identity/credentials.ts';
import { TlsContexts } from '../identity/tls-contexts.ts';
import { type InboundApp, inboundLane, inboundListener } from '../inbound/inbound-listener.ts';
import { AppLanes } from '../interception/app-lanes.ts';
import { originalDestinationReader, type ReadOriginalDestination } from '../interception/original-destination.ts';
import { ownAddresses, ownAddressTest, sourceFor } from '../interception/own-addresses.ts';
import type { ChooseLane, Lane } from '../listener/lane.ts';
import type { Listener } from '../listener/listener.ts';
import type { DialTcp } from '../outbound/outbound.ts';
import { outboundListener } from '../outbound/outbound-listener.ts';
import { PeerPools } from '../outbound/peer-pools.ts';
import type { PolicyInForce } from '../policy/policy-in-force.ts';
import { shareProcess } from '../pressure/process-pressure.ts';
import { AccessLog } from '../telemetry/access-log.ts';
import { ConnectionRecorder } from '../telemetry/connection-recorder.ts';
import { LogInputs } from '../telemetry/log-inputs.ts';
import type { LogWriter } from '../telemetry/log-writer.ts';
import { type Gauge, Metrics } from '../telemetry/metrics.ts';
import { type PlaintextCaller, PlaintextCallers } from '../telemetry/plaintext-callers.ts';
import { ruleMatches } from '../telemetry/rule-matches.ts';
import { trafficGauges } from '../telemetry/sidecar-gauges.ts';
import { tlsGauges } from '../telemetry/tls-gauges.ts';
import type { Traffic } from './traffic.ts';
import { listenOnAll, trafficAddresses } from './traffic-addresses.ts';

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

type InboundConfiguration = SidecarConfiguration['inbound'][number];
type SharedInbound = Omit<InboundApp, 'app' | 'upstream'>;

/** The listeners of one thread, the pipelines behind them, and what these record. */
export class ServedTraffic implements Traffic {
  readonly #options: TrafficOptions;
  readonly #watch = new StallWatch();
  readonly #metrics = new Metrics();
  readonly #plaintext = new PlaintextCallers();
  readonly #listeners: Listener[] = [];
  readonly #upstreams: { close(): void }[] = [];
  readonly #pools: PeerPools;
  readonly #contexts: TlsContexts;
  readonly #providers = new Providers(() => this.#pools);
  #isServing = false;

  constructor(options: TrafficOptions) {
    this.#options = options;
    const { configuration, credentials, policy, log, logKey, recorders, gauges } = options;
    const { identity } = credentials.current();
    shareProcess(options.isShared ? configuration.concurrency : 1);
    const contexts = new TlsContexts(credentials, policy);
    this.#contexts = contexts;
    const refusals = new ConnectionRecorder(this.#metrics, log, recorders, identity.uri);
    const inputs = new LogInputs(logKey, configuration.workload);
    const shared = {
      policy: () => policy.current,
      providers: this.#providers,
      sampleRatio: configuration.telemetry.sampleRatio,
      watch: this.#watch,
      recorders: [this.#metrics, ...(log === undefined ? [] : [new AccessLog(log, inputs)]), ...recorders],
    };
    const connections = () => countConnections(this.#listeners);
    for (const gauge of [
      ...trafficGauges(this.#watch, log, connections),
      ...this.#plaintext.gauges,
      ruleMatches(policy.tallies),
      ...policy.gauges,
      ...this.#providers.gauges,
      ...tlsGauges(contexts.counts),
      ...gauges,
    ])
      this.#metrics.add(gauge);
    const read = configuration.interception === 'redirect' ? originalDestinationReader() : undefined;
    for (const inbound of configuration.inbound) {
      const common = { ...shared, ownIdentity: identity.uri, plaintext: this.#plaintext };
      const lane =
        read === undefined ? this.#appLane(inbound, common, refusals) : this.#appLanes(inbound, common, refusals, read);
      this.#listeners.push(inboundListener(lane, contexts));
    }
    const plaintextTo = plaintextWays(configuration);
    this.#pools = peerPools(configuration, contexts, plaintextTo);
    if (configuration.outbound === undefined) return;
    const dialTcp: DialTcp = (address, port, peer, callback, endpoint) =>
      dial(address, port, peer, callback, plaintextTo(endpoint), []);
    const outbound = { ...shared, pools: this.#pools, dialTcp, ownIdentity: identity };
    this.#listeners.push(outboundListener(outbound, refusals, read));
  }

  /** All connections go to one app. */
  #appLane({ app, protocol }: InboundConfiguration, shared: SharedInbound, refusals: ConnectionRecorder): Lane {
    const target = app === undefined ? undefined : splitHostPort(app);
    if (target === undefined) throw new Error(`${app} is not HOST:PORT`);
    const { host: address, port } = target;
    const upstream = new AppUpstream(address, port, protocol);
    this.#upstreams.push(upstream);
    return inboundLane(protocol, { ...shared, upstream, app: { address, port } }, refusals);
  }

  /** Each goes to the port it meant. */
  #appLanes(
    { app, protocol, ports, port }: InboundConfiguration,
    shared: SharedInbound,
    refusals: ConnectionRecorder,
    read: ReadOriginalDestination,
  ): ChooseLane {
    const appHost = app === undefined ? undefined : splitHostPort(app)?.host;
    const lanes = new AppLanes({
      shared,
      appHost,
      declared: ports,
      otherwise: protocol,
      listenerPort: port,
      ownPorts: ownPorts(this.#options.configuration),
      read,
      isOwnAddress: ownAddressTest(this.#options.configuration.workload.address),
      refusals,
    });
    this.#upstreams.push(lanes);
    return lanes.choose;
  }

  get isServing(): boolean {
    return this.#isServing;
  }

  prepare(snapshot: Snapshot) {
    return this.#options.policy.prepare(snapshot);
  }

  async open(): Promise<void> {
    const { configuration, isShared } = this.#options;
    for (const [index, place] of trafficAddresses(configuration).entries()) {
      const listener = this.#listeners[index];
      if (listener !== undefined) await listenOnAll(place, (port, address) => listener.open(port, address, isShared));
    }
    this.#isServing = true;
  }

  async metrics(): Promise<Metrics> {
    return this.#metrics;
  }

  async plaintextCallers(): Promise<readonly PlaintextCaller[]> {
    return this.#plaintext.list();
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
    this.#contexts.close();
    this.#options.policy.close();
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

function ownPorts(configuration: SidecarConfiguration): ReadonlySet<number> {
  const { admin, metrics } = configuration;
  return new Set([...trafficAddresses(configuration), admin, metrics].map(({ port }) => port));
}

/** Tells by the connection itself: a name or a spelling of the address cannot hide where it went (AllowAny). */
function ownListenerTest(places: readonly { readonly port: number }[]): IsOwnListener {
  const ownPorts = new Set(places.map(({ port }) => port));
  return (socket) => ownPorts.has(socket.remotePort ?? 0) && socket.remoteAddress === socket.localAddress;
}

/** `endpoint`: of a service; absent: where some host led. */
type PlaintextTo = (endpoint?: Endpoint) => PlaintextWay;

/**
 * How plaintext leaves. A workload that calls itself comes to its own inbound listener, also where that is DISABLE: that is no
 * loop.
 */
function plaintextWays(configuration: SidecarConfiguration): PlaintextTo {
  const { outbound } = configuration;
  const external = { isOwnListener: ownListenerTest(trafficAddresses(configuration)) };
  const isOwnListener = ownListenerTest(outbound === undefined ? [] : [outbound]);
  const own = redirectedAddresses(configuration);
  return (endpoint) => {
    if (endpoint === undefined) return external;
    return { isOwnListener, localAddress: endpoint.hasSidecar ? sourceFor(endpoint.address, own) : undefined };
  };
}

/** Those of the pod, where calls to them are redirected. */
function redirectedAddresses({ interception, workload }: SidecarConfiguration): ReadonlySet<string> {
  return interception === 'redirect' ? ownAddresses(workload.address) : new Set<string>();
}

function peerPools(configuration: SidecarConfiguration, contexts: TlsContexts, plaintextTo: PlaintextTo): PeerPools {
  const own = redirectedAddresses(configuration);
  return new PeerPools(
    (address, port, peer, endpoint) =>
      peer === undefined
        ? new AppUpstream(address, port, 'http', plaintextTo(endpoint))
        : new Http2Upstream({ address, port, peer, fallback: () => new Http1Upstream(address, port, peer) }),
    ({ identity, address, port }) =>
      identity === undefined
        ? undefined
        : contexts.peer(identity, { address, port, localAddress: sourceFor(address, own) }),
  );
}
