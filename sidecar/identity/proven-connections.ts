import type { Socket } from 'node:net';
import type { Judgement, ProvenPeer } from '#policy/trust/peer-verdicts.ts';
import { logEvent } from '../operational-log.ts';
import type { ConnectionLife } from './connection-life.ts';

/** How often ends are looked for. By the wall clock, which certificates go by: it may be set, and a machine may sleep. */
const CHECK_INTERVAL_MS = 1_000;

/** Connections that stand on certificates: cut when one of these ends, or is no longer believed. */
export class ProvenConnections {
  readonly #open = new Map<Socket, { readonly peer: ProvenPeer; readonly life: ConnectionLife }>();
  readonly #now: () => number;
  readonly #timer: NodeJS.Timeout;
  /** Connections that were cut, by why. */
  readonly cut = { expired: 0, refused: 0 };

  constructor(now: () => number) {
    this.#now = now;
    this.#timer = setInterval(() => this.#cutEnded(), CHECK_INTERVAL_MS);
    this.#timer.unref();
  }

  add(socket: Socket, peer: ProvenPeer, life: ConnectionLife): void {
    this.#open.set(socket, { peer, life });
    socket.once('close', () => this.#open.delete(socket));
  }

  /** Cuts those whose peer is not believed any more; to be called when trust has changed. */
  judgeAgain(judge: (peer: ProvenPeer, nowMs: number) => Judgement): void {
    const nowMs = this.#now();
    const verdicts = new Map<string, Judgement>();
    for (const [socket, { peer }] of [...this.#open]) {
      const key = `${peer.use} ${peer.sha256}`;
      const verdict = verdicts.get(key) ?? judge(peer, nowMs);
      if (!verdicts.has(key) && verdict.kind === 'refused') {
        logEvent('peer_no_longer_trusted', { peer: peer.id.uri, code: verdict.code, reason: verdict.reason });
      }
      verdicts.set(key, verdict);
      if (verdict.kind === 'accepted') continue;
      this.cut.refused++;
      socket.destroy();
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #cutEnded(): void {
    const nowMs = this.#now();
    for (const [socket, { life }] of [...this.#open]) {
      if (nowMs < life.endAtMs) continue;
      this.cut.expired++;
      socket.destroy();
    }
  }
}
