import type { ProvenPeer } from '#policy/trust/peer-verdicts.ts';
import { setBounded } from '#policy/trust/set-bounded.ts';
import type { Credentials } from './credentials.ts';

/** Peers of which a session is kept, 2 kB each; of further ones the handshake is a whole one. */
export const MAX_KEPT_SESSIONS = 1_024;

/** A TLS session that may be resumed, and what it stands on. */
export interface Session {
  readonly ticket: Buffer;
  /** Who proved itself when it began. */
  readonly peer: ProvenPeer;
  /** What was shown to the peer then: that is who it takes us for. */
  readonly own: Credentials;
  /** When that ends. */
  readonly ownEndMs: number;
}

/** The latest session with each peer. One that began with other credentials than those of now is not offered. */
export class SessionCache {
  readonly #sessions = new Map<string, Session>();

  find(key: string, own: Credentials): Session | undefined {
    const session = this.#sessions.get(key);
    if (session === undefined || session.own === own) return session;
    this.#sessions.delete(key);
    return undefined;
  }

  forget(key: string): void {
    this.#sessions.delete(key);
  }

  keep(key: string, session: Session): void {
    setBounded(this.#sessions, key, session, MAX_KEPT_SESSIONS);
  }
}
