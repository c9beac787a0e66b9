import type { Socket } from 'node:net';
import { Refusal } from '#policy/error/refusal.ts';
import type { WorkloadPolicy } from '#policy/workload-policy.ts';
import { randomHex } from '../exchange/random-hex.ts';
import { AppUpstream } from '../http/app-upstream.ts';
import type { Inbound } from '../inbound/inbound.ts';
import { type AppProtocol, inboundLane } from '../inbound/inbound-listener.ts';
import type { Lane } from '../listener/lane.ts';
import type { ConnectionRecorder } from '../telemetry/connection-recorder.ts';
import { shareOf } from '../workers/thread-share.ts';
import type { OriginalDestination, ReadOriginalDestination } from './original-destination.ts';

/** Ports of the app that are called at a time; where all have connections, further ones are refused. */
export const MAX_APP_LANES = shareOf(1_024);
/** What is kept for a port without connections is given up after this. */
const IDLE_LANE_MS = 300_000;
const SWEEP_INTERVAL_MS = 30_000;

export interface AppLanesOptions {
  /** What every inbound pipeline has. */
  readonly shared: Omit<Inbound, 'app' | 'upstream'>;
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
  readonly refusals: ConnectionRecorder;
}

interface AppLane {
  readonly lane: Lane;
  readonly upstream: AppUpstream;
  connections: number;
  usedAt: number;
}

/** Redirected connections of other workloads: each goes to the port of the app that its caller meant. */
export class AppLanes {
  readonly #options: AppLanesOptions;
  readonly #lanes = new Map<string, AppLane>();
  readonly #timer: NodeJS.Timeout;

  constructor(options: AppLanesOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#sweep(performance.now() - IDLE_LANE_MS), SWEEP_INTERVAL_MS);
    this.#timer.unref();
  }

  /** The lane of a connection that was accepted; undefined: refused (not_redirected, overloaded). */
  readonly choose = (socket: Socket): Lane | undefined => {
    const destination = this.#options.read(socket);
    if (destination === undefined || this.#options.ownPorts.has(destination.port)) {
      const { port = this.#options.listenerPort } = destination ?? {};
      const reason = `the connection was made to port ${port}, which is the sidecar's own`;
      this.#refuse(socket, new Refusal('not_redirected', reason));
      return undefined;
    }
    const found = this.#find(destination);
    if (found === undefined) {
      const reason = `ports of the app with connections exceed maxAppLanes ${MAX_APP_LANES}`;
      this.#refuse(socket, new Refusal('overloaded', reason));
      return undefined;
    }
    found.connections++;
    socket.once('close', () => {
      found.connections--;
      found.usedAt = performance.now();
    });
    return found.lane;
  };

  close(): void {
    clearInterval(this.#timer);
    for (const { upstream } of this.#lanes.values()) upstream.close();
    this.#lanes.clear();
  }

  #find(destination: OriginalDestination): AppLane | undefined {
    const { shared, appHost, refusals } = this.#options;
    const protocol = this.#protocolOf(destination, shared.policy());
    const { address, port } = destination;
    const key = `${address} ${port} ${protocol}`;
    const known = this.#lanes.get(key);
    if (known !== undefined) return known;
    if (this.#lanes.size >= MAX_APP_LANES) this.#sweep(performance.now()); // whoever scans ports leaves none open
    if (this.#lanes.size >= MAX_APP_LANES) return undefined;
    const app = { address: appHost ?? address, port, destinationIp: address };
    const upstream = new AppUpstream(app.address, port, protocol);
    const lane = inboundLane(protocol, { ...shared, app, upstream }, refusals);
    const made = { lane, upstream, connections: 0, usedAt: performance.now() };
    this.#lanes.set(key, made);
    return made;
  }

  #protocolOf({ address, port }: OriginalDestination, policy: WorkloadPolicy): AppProtocol {
    const { declared, otherwise } = this.#options;
    return declared[port] ?? policy.services.protocolOf(address, port) ?? otherwise;
  }

  #refuse(socket: Socket, refusal: Refusal): void {
    const caller = { address: socket.remoteAddress ?? '', port: socket.remotePort ?? 0, certificate: undefined };
    this.#options.refusals.recordUnreadable('inbound', randomHex(8), caller, refusal, this.#options.listenerPort);
  }

  /** Gives up what had its last connection before. */
  #sweep(before: number): void {
    for (const [key, { connections, usedAt, upstream }] of this.#lanes) {
      if (connections > 0 || usedAt > before) continue;
      this.#lanes.delete(key);
      upstream.close();
    }
  }
}
