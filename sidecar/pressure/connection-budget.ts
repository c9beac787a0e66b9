import { readFileSync } from 'node:fs';

/** Accepted connections at once, all listeners together; further ones wait unread, see listener/waiting-room.ts. */
export const MAX_CONNECTIONS = 16_384;
/** Of the file descriptors of the process: a connection may need another one, to the app or a peer. */
export const DESCRIPTOR_SHARE = 0.45;

/** Counts connections against their limit. */
export class ConnectionBudget {
  limit: number;
  count = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  get isExhausted(): boolean {
    return this.count >= this.limit;
  }
}

/**
 * How many connections the process may accept, by the soft limit of open files as Linux prints it in /proc/self/limits;
 * without that text MAX_CONNECTIONS.
 */
export function connectionLimit(limits: string | undefined): number {
  const files = /^Max open files\s+(\d+)/m.exec(limits ?? '')?.[1];
  return files === undefined
    ? MAX_CONNECTIONS
    : Math.min(MAX_CONNECTIONS, Math.floor(Number(files) * DESCRIPTOR_SHARE));
}

function ownLimits(): string | undefined {
  try {
    return readFileSync('/proc/self/limits', 'latin1');
  } catch {
    return undefined; // not Linux
  }
}

/** Of this thread. */
export const openConnections = new ConnectionBudget(connectionLimit(ownLimits()));
