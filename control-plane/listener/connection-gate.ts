import type { Socket } from 'node:net';
import type { Server, TLSSocket } from 'node:tls';
import type { EventLog } from '../event-log.ts';
import { admitConnections } from './admit-connections.ts';
import { ConnectionCrowd, type CrowdLimits, type Guest } from './connection-crowd.ts';
import { plainAddress } from './plain-address.ts';

/** TLS and whatever else proves a connection is done by then. */
export const PROOF_TIMEOUT_MS = 10_000;
/** The log tells of one connection that was refused in this time. */
const LOG_INTERVAL_MS = 10_000;

export interface GateLimits {
  readonly connections: CrowdLimits;
  /** Connections whose handshake is under way, or that have proven nothing yet. */
  readonly unproven: CrowdLimits;
}

/** Connections that were closed at once, by the bound that they met; `slow`: unproven for too long. */
export interface GateCounts {
  readonly refused: { connections: number; unproven: number; slow: number };
}

export function createGateCounts(): GateCounts {
  return { refused: { connections: 0, unproven: 0, slow: 0 } };
}

export interface GateOptions {
  /** For the log. */
  readonly port: string;
  readonly limits: GateLimits;
  readonly counts: GateCounts;
  readonly log: EventLog;
  /** Whether a connection has proven itself once its handshake is done. Where not, nothing but its end changes that. */
  readonly isProven: (socket: TLSSocket) => boolean;
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
}

/**
 * Bounds the connections of a TLS server by address and in all, before any of its work is done for them: whoever reaches the
 * port may begin handshakes, and others must get in all the same.
 */
export function guardConnections(server: Server, options: GateOptions): ConnectionGate {
  const { limits, counts, isProven, timeoutMs = PROOF_TIMEOUT_MS } = options;
  const connections = new ConnectionCrowd(limits.connections);
  const unproven = new ConnectionCrowd(limits.unproven);
  /** By remote address and port, which TLS's own socket has too. */
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
      end: () => (visitor.secured ?? socket).destroy(),
      deadline: setTimeout(() => {
        refused('slow', address);
        visitor.end();
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
    if (isProven(secured)) unproven.leave(visitor.address, visitor);
  });

  admitConnections(server, admits);

  return {
    close() {
      for (const visitor of [...inHandshake.values()]) visitor.end();
    },
  };
}

function keyOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
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
