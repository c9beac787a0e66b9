import type { Socket } from 'node:net';
import type { Server, TLSSocket } from 'node:tls';
import type { EventLog } from '../event-log.ts';
import { admitConnections } from './admit-connections.ts';
import { ConnectionCrowd, type CrowdLimits, type Guest } from './connection-crowd.ts';
import { IdentityCrowds } from './identity-crowds.ts';
import { plainAddress } from './plain-address.ts';

/** TLS and whatever else proves a connection is done by then. */
export const PROOF_TIMEOUT_MS = 10_000;
/** The log tells of one connection that was refused in this time. */
const LOG_INTERVAL_MS = 10_000;

export interface GateLimits {
  readonly connections: CrowdLimits;
  /** Connections whose handshake is under way, or that have proven nothing yet. */
  readonly unproven: CrowdLimits;
  /** Connections of one identity; absent: there are no identities. */
  readonly ofIdentity?: number;
}

/**
 * Connections that were closed, by the bound that they met; `slow`: unproven for too long; `displaced`: its address had most, and
 * one that had fewer needed the place.
 */
export interface GateCounts {
  readonly refused: { connections: number; unproven: number; identity: number; slow: number; displaced: number };
}

export function createGateCounts(): GateCounts {
  return { refused: { connections: 0, unproven: 0, identity: 0, slow: 0, displaced: 0 } };
}

export interface GateOptions {
  /** For the log. */
  readonly port: string;
  readonly limits: GateLimits;
  readonly counts: GateCounts;
  readonly log: EventLog;
  /** Whether a connection has proven itself once its handshake is done. Where not, nothing but its end changes that. */
  readonly isProven: (socket: TLSSocket) => boolean;
  /** The identity that its handshake has proven, for `ofIdentity`; undefined: none. */
  readonly identityOf?: (socket: TLSSocket) => string | undefined;
  /** Default PROOF_TIMEOUT_MS; of the handshake alone. */
  readonly timeoutMs?: number;
}

export interface ConnectionGate {
  /** Ends what has not got through its handshake. */
  close(): void;
}

interface Visitor extends Guest {
  readonly address: string;
  readonly deadline: NodeJS.Timeout;
  /** TLS's own socket, once the handshake is done: from then on the one beneath must not be touched. */
  secured: TLSSocket | undefined;
  identity: string | undefined;
  destroy(): void;
}

/**
 * Bounds the connections of a TLS server by address and in all (and by identity, once one is proven), before any of its work is done for them: whoever reaches the
 * port may begin handshakes, and others must get in all the same.
 */
export function guardConnections(server: Server, options: GateOptions): ConnectionGate {
  const { limits, counts, isProven, identityOf = () => undefined, timeoutMs = PROOF_TIMEOUT_MS } = options;
  const connections = new ConnectionCrowd(limits.connections);
  const unproven = new ConnectionCrowd(limits.unproven);
  const identities = new IdentityCrowds(limits.ofIdentity ?? Number.POSITIVE_INFINITY);
  /** By both ends' address and port, which TLS's own socket has too: from one remote port there may be a connection to each local address. */
  const inHandshake = new Map<string, Visitor>();
  const tell = rareLog(options);

  const refused = (reason: keyof GateCounts['refused'], address: string) => {
    counts.refused[reason] += 1;
    tell({ port: options.port, address, reason });
  };

  const visitorOf = (socket: Socket, address: string): Visitor => {
    const visitor: Visitor = {
      address,
      secured: undefined,
      identity: undefined,
      destroy: () => (visitor.secured ?? socket).destroy(),
      end() {
        refused('displaced', address);
        visitor.destroy();
      },
      deadline: setTimeout(() => {
        refused('slow', address);
        visitor.destroy();
      }, timeoutMs),
    };
    return visitor;
  };

  const admits = (socket: Socket): boolean => {
    if (socket.remoteAddress === undefined) return false; // gone already
    const address = plainAddress(socket.remoteAddress);
    const key = keyOf(socket);
    const visitor = visitorOf(socket, address);
    const leave = () => {
      clearTimeout(visitor.deadline);
      inHandshake.delete(key);
      unproven.leave(address, visitor);
      connections.leave(address, visitor);
      if (visitor.identity !== undefined) identities.leave(visitor.identity, address, visitor);
    };
    const bound =
      connections.enter(address, visitor) !== 'entered'
        ? 'connections'
        : unproven.enter(address, visitor) !== 'entered'
          ? 'unproven'
          : undefined;
    if (bound !== undefined) {
      refused(bound, address);
      leave();
      return false;
    }
    inHandshake.set(key, visitor);
    socket.once('close', leave);
    return true;
  };

  server.on('secureConnection', (secured) => {
    const key = keyOf(secured);
    const visitor = inHandshake.get(key);
    if (visitor === undefined) return;
    clearTimeout(visitor.deadline);
    inHandshake.delete(key);
    visitor.secured = secured;
    if (!isProven(secured)) return;
    unproven.leave(visitor.address, visitor);
    const identity = identityOf(secured);
    if (identity === undefined) return;
    if (identities.enter(identity, visitor.address, visitor)) visitor.identity = identity;
    else {
      refused('identity', visitor.address);
      secured.destroy();
    }
  });

  admitConnections(server, admits);

  return {
    close() {
      for (const visitor of [...inHandshake.values()]) visitor.destroy();
    },
  };
}

function keyOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}

function rareLog({ log }: GateOptions): (fields: { readonly [name: string]: unknown }) => void {
  let toldAtMs = Number.NEGATIVE_INFINITY;
  let untold = 0;
  return (fields) => {
    untold += 1;
    const nowMs = performance.now();
    if (nowMs - toldAtMs < LOG_INTERVAL_MS) return;
    log('connection_refused', { ...fields, refusedSinceLast: untold });
    toldAtMs = nowMs;
    untold = 0;
  };
}
