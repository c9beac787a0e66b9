import type { Socket } from 'node:net';
import { Refusal } from '#policy/error/refusal.ts';
import type { WorkloadPolicy } from '#policy/workload-policy.ts';
import { randomHex } from '../exchange/random-hex.ts';
import { AppUpstream } from '../http/app-upstream.ts';
import type { Caller } from '../http/message.ts';
import { type AppProtocol, type InboundApp, inboundLane } from '../inbound/inbound-listener.ts';
import type { Lane } from '../listener/lane.ts';
import type { ConnectionRecorder } from '../telemetry/connection-recorder.ts';
import { shareOf } from '../workers/thread-share.ts';
import type { OriginalDestination, ReadOriginalDestination } from './original-destination.ts';

/** Ports whose lanes are kept for further callers once an authenticated one has used them … */
export const MAX_APP_LANES = shareOf(1_024);
/** … and of those that none has used yet: whoever scans ports crowds out others that nobody has used. */
export const MAX_UNPROVEN_LANES = shareOf(1_024);
/** What is kept for a port without connections is given up after this. */
const IDLE_LANE_MS = 300_000;
const SWEEP_INTERVAL_MS = 30_000;

export interface AppLanesOptions {
  /** What every inbound pipeline has. */
  readonly shared: Omit<InboundApp, 'app' | 'upstream'>;
  /** The host of the app; undefined: the address that the caller meant, which is the pod's. */
  readonly appHost: string | undefined;
  /** Protocols that are declared by port of the app. */
  readonly declared: { readonly [port: string]: AppProtocol };
  /** Where nothing declares the protocol. */
  readonly otherwise: AppProtocol;
  readonly listenerPort: number;
  /** Ports of the sidecar itself, this listener's among them: no app is behind them, and no caller may reach them by way of it. */
  readonly ownPorts: ReadonlySet<number>;
  readonly read: ReadOriginalDestination;
  /** Asked of the address that a caller meant; false: it is no address of this pod, and nothing is relayed to it. */
  readonly isOwnAddress: (address: string) => boolean;
  readonly refusals: ConnectionRecorder;
}

interface AppLane {
  readonly key: string;
  readonly lane: Lane;
  readonly upstream: AppUpstream;
  connections: number;
  usedAt: number;
  /** True once an authenticated caller has used it. */
  isProven: boolean;
}

/**
 * Redirected connections of other workloads: each goes to the port of the app that its caller meant. A lane is needed before
 * anybody is authenticated, so no limit on lanes refuses a connection: one that is crowded out, or found no room, goes on for the
 * connections it has, and ends with them.
 */
export class AppLanes {
  readonly #options: AppLanesOptions;
  readonly #proven = new Map<string, AppLane>();
  /** The oldest first. */
  readonly #unproven = new Map<string, AppLane>();
  /** Kept ones, and those that only their connections hold. */
  readonly #all = new Set<AppLane>();
  readonly #timer: NodeJS.Timeout;

  constructor(options: AppLanesOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#sweep(performance.now() - IDLE_LANE_MS), SWEEP_INTERVAL_MS);
    this.#timer.unref();
  }

  /** The lane of a connection that was accepted; undefined: refused (not_redirected). */
  readonly choose = (socket: Socket): Lane | undefined => {
    const destination = this.#options.read(socket);
    if (destination === undefined || this.#options.ownPorts.has(destination.port)) {
      const { port = this.#options.listenerPort } = destination ?? {};
      return this.#refuse(socket, `the connection was made to port ${port}, which is the sidecar's own`);
    }
    if (!this.#options.isOwnAddress(destination.address)) {
      return this.#refuse(socket, `the connection was made to ${destination.address}, which is no address of this pod`);
    }
    const found = this.#find(destination);
    found.connections++;
    socket.once('close', () => this.#left(found));
    return found.lane;
  };

  close(): void {
    clearInterval(this.#timer);
    for (const { upstream } of this.#all) upstream.close();
    for (const lanes of [this.#all, this.#proven, this.#unproven]) lanes.clear();
  }

  #find(destination: OriginalDestination): AppLane {
    const { address, port } = destination;
    const protocol = this.#protocolOf(destination, this.#options.shared.policy());
    const key = `${address} ${port} ${protocol}`;
    const known = this.#proven.get(key) ?? this.#unproven.get(key);
    if (known !== undefined) return known;
    const made = this.#make(key, destination, protocol);
    this.#all.add(made);
    this.#unproven.set(key, made);
    if (this.#unproven.size > MAX_UNPROVEN_LANES) {
      const [oldest] = this.#unproven.values();
      if (oldest !== undefined) this.#release(oldest);
    }
    return made;
  }

  #make(key: string, { address, port }: OriginalDestination, protocol: AppProtocol): AppLane {
    const { shared, appHost, refusals } = this.#options;
    const app = { address: appHost ?? address, port, destinationIp: address };
    const upstream = new AppUpstream(app.address, port, protocol);
    const lane = inboundLane(protocol, { ...shared, app, upstream }, refusals);
    const prove = ({ certificate }: Caller) => {
      if (!made.isProven && certificate !== undefined) this.#keep(made);
    };
    const made: AppLane = {
      key,
      lane: {
        ...lane,
        onRequest(request) {
          prove(request.caller);
          lane.onRequest(request);
        },
        onTcp(connection) {
          prove(connection.caller);
          lane.onTcp(connection);
        },
      },
      upstream,
      connections: 0,
      usedAt: performance.now(),
      isProven: false,
    };
    return made;
  }

  /** An authenticated caller uses it: others that are not cannot crowd it out any more, if there is room. */
  #keep(lane: AppLane): void {
    lane.isProven = true;
    if (this.#proven.has(lane.key)) return; // it was crowded out, and another came in its place
    if (this.#proven.size >= MAX_APP_LANES) this.#sweep(performance.now());
    if (this.#proven.size >= MAX_APP_LANES) return;
    if (this.#unproven.get(lane.key) === lane) this.#unproven.delete(lane.key);
    this.#proven.set(lane.key, lane);
  }

  #left(lane: AppLane): void {
    lane.connections--;
    lane.usedAt = performance.now();
    if (!this.#isKept(lane)) this.#release(lane);
  }

  #isKept(lane: AppLane): boolean {
    return this.#proven.get(lane.key) === lane || this.#unproven.get(lane.key) === lane;
  }

  /** Keeps it no longer for further connections; with the last of its own it ends. */
  #release(lane: AppLane): void {
    for (const kept of [this.#proven, this.#unproven]) if (kept.get(lane.key) === lane) kept.delete(lane.key);
    if (lane.connections > 0) return;
    this.#all.delete(lane);
    lane.upstream.close();
  }

  #protocolOf({ address, port }: OriginalDestination, policy: WorkloadPolicy): AppProtocol {
    const { declared, otherwise } = this.#options;
    return declared[port] ?? policy.services.protocolOf(address, port) ?? otherwise;
  }

  #refuse(socket: Socket, reason: string): undefined {
    const caller = { address: socket.remoteAddress ?? '', port: socket.remotePort ?? 0, certificate: undefined };
    const refusal = new Refusal('not_redirected', reason);
    this.#options.refusals.recordUnreadable('inbound', randomHex(8), caller, refusal, this.#options.listenerPort);
    return undefined;
  }

  /** Gives up what had its last connection before. */
  #sweep(before: number): void {
    for (const lane of this.#all) if (lane.connections === 0 && lane.usedAt <= before) this.#release(lane);
  }
}
