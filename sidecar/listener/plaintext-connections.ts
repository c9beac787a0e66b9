import type { Socket } from 'node:net';
import type { ServedConnection } from '../http/served-connection.ts';
import type { Lane } from './lane.ts';

/**
 * What is under way on a plaintext connection when its port becomes STRICT may go on for so long; then it is cut. Longer than a
 * request takes, and no session of TCP outlives the change for days.
 */
export const PLAINTEXT_END_MS = 30_000;

interface PlaintextConnection {
  readonly lane: Lane;
  /** Undefined: it is no HTTP. */
  readonly connection: ServedConnection | undefined;
  /** Monotonic ms; undefined: plaintext is served there. */
  strictSince: number | undefined;
}

/** Connections that came in plaintext where others come by mutual TLS. */
export class PlaintextConnections {
  readonly #open = new Map<Socket, PlaintextConnection>();

  /** In place of what the same socket was before, when that was not known yet. */
  add(socket: Socket, lane: Lane, connection?: ServedConnection): void {
    this.#open.set(socket, { lane, connection, strictSince: undefined });
    if (connection === undefined) socket.once('close', () => this.#open.delete(socket));
  }

  delete(socket: Socket): void {
    this.#open.delete(socket);
  }

  /** Where policy does not serve plaintext any more, no further request is taken; what goes on is cut in the end. */
  sweep(now: number): void {
    for (const [socket, plaintext] of [...this.#open]) {
      const { lane, connection, strictSince } = plaintext;
      if (lane.mode() !== 'STRICT') plaintext.strictSince = undefined;
      else if (strictSince === undefined) {
        plaintext.strictSince = now;
        connection?.drain();
      } else if (now - strictSince >= PLAINTEXT_END_MS) socket.destroy();
    }
  }
}
