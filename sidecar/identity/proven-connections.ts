import type { TLSSocket } from 'node:tls';
import type { Judgement, ProvenPeer } from '#policy/trust/peer-verdicts.ts';
import type { TlsVersion } from '#policy/workload-policy.ts';
import { logEvent } from '../operational-log.ts';
import { endSoon, type MortalLife } from './connection-life.ts';

/** How often ends are looked for. By the wall clock, which certificates go by: it may be set, and a machine may sleep. */
const CHECK_INTERVAL_MS = 1_000;
/** Peers are judged anew for so long at a stretch; then others have their turn. */
const SLICE_MS = 5;

interface Proven {
  readonly peer: ProvenPeer;
  readonly life: MortalLife;
}

type Judge = (peer: ProvenPeer, nowMs: number) => Judgement;

/** Connections that stand on certificates: cut when one of these ends, or is no longer believed. */
export class ProvenConnections {
  readonly #open = new Map<TLSSocket, Proven>();
  readonly #now: () => number;
  readonly #timer: NodeJS.Timeout;
  /** Those that are yet to be judged anew, by the trust that came last. */
  #toJudge: Iterator<readonly [TLSSocket, Proven]> | undefined;
  /** Connections that were cut, by why. */
  readonly cut = { expired: 0, refused: 0 };

  constructor(now: () => number) {
    this.#now = now;
    this.#timer = setInterval(() => this.#cutEnded(), CHECK_INTERVAL_MS);
    this.#timer.unref();
  }

  add(socket: TLSSocket, peer: ProvenPeer, life: MortalLife): void {
    this.#open.set(socket, { peer, life });
    socket.once('close', () => this.#open.delete(socket));
  }

  /**
   * Cuts those whose peer is not believed any more, to be called when trust has changed. What takes longer than a slice is
   * gone on with in later turns: that is where thousands of peers are to be verified, of whom `judge` knows no answer.
   */
  judgeAgain(judge: Judge): void {
    this.#toJudge = [...this.#open].values();
    this.#judgeSlice(this.#toJudge, judge);
  }

  /** Ends those politely that speak an older TLS, to be called when the oldest that is allowed is another. */
  endBelow(minVersion: TlsVersion): void {
    const nowMs = this.#now();
    for (const [socket, { life }] of this.#open) if (isBelow(socket, minVersion)) endSoon(life, nowMs);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#toJudge = undefined;
  }

  #judgeSlice(connections: Iterator<readonly [TLSSocket, Proven]>, judge: Judge): void {
    const nowMs = this.#now();
    const until = performance.now() + SLICE_MS;
    for (let next = connections.next(); next.done !== true; next = connections.next()) {
      const [socket, { peer }] = next.value;
      const verdict = judge(peer, nowMs);
      if (verdict.kind === 'refused') {
        this.cut.refused++;
        const { code, reason } = verdict;
        logEvent('connection_cut', { peer: peer.id.uri, address: socket.remoteAddress, code, reason });
        socket.destroy();
      }
      if (performance.now() < until) continue;
      setImmediate(() => {
        if (this.#toJudge === connections) this.#judgeSlice(connections, judge);
      });
      return;
    }
    this.#toJudge = undefined;
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

/** Versions of TLS are in the order of their names. */
export function isBelow(socket: TLSSocket, minVersion: TlsVersion): boolean {
  const version = socket.getProtocol();
  return version !== null && version < minVersion;
}
