import type { Socket } from 'node:net';

/** Accepted connections that wait unread; further ones are reset. */
export const MAX_HELD_CONNECTIONS = 1_024;
/** A connection waits this long to be served, then it is reset; as long as a caller has for its handshake. */
export const HELD_TIMEOUT_MS = 10_000;

/**
 * Connections that cannot be served now. Node has no way to leave them in the kernel's backlog, so they wait here as they
 * would there: accepted, not read, no TLS begun. Each costs a few kB and a file descriptor.
 */
export class WaitingRoom {
  /** Since when each waits (monotonic ms), the longest waiting first. */
  readonly #held = new Map<Socket, number>();
  readonly #limit: number;
  /** Connections that found no room, or waited in vain. */
  turnedAway = 0;

  constructor(limit = MAX_HELD_CONNECTIONS) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#held.size;
  }

  /** Keeps a socket that is paused, or resets it where there is no room. */
  hold(socket: Socket, now: number): void {
    socket.on('error', ignore);
    if (this.#held.size < this.#limit) this.#held.set(socket, now);
    else this.#turnAway(socket);
  }

  /** The one that waits longest, to be served now. */
  next(): Socket | undefined {
    for (const socket of this.#held.keys()) {
      this.#held.delete(socket);
      socket.off('error', ignore);
      return socket;
    }
    return undefined;
  }

  /** Ends them all. */
  clear(): void {
    for (const socket of this.#held.keys()) socket.destroy();
    this.#held.clear();
  }

  /** Resets those that have waited too long; returns how many. */
  sweep(now: number): number {
    let late = 0;
    for (const [socket, since] of this.#held) {
      if (now - since <= HELD_TIMEOUT_MS) break;
      this.#held.delete(socket);
      this.#turnAway(socket);
      late++;
    }
    return late;
  }

  #turnAway(socket: Socket): void {
    this.turnedAway++;
    socket.resetAndDestroy();
  }
}

function ignore(): void {}
