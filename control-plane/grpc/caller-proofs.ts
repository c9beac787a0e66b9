import type { TLSSocket } from 'node:tls';
import type { SpiffeId } from '#policy/identity/spiffe-id.ts';
import { compileTrust, NOBODY_REVOKED, type PeerTrust } from '#policy/trust/peer-trust.ts';
import { type Judgement, PeerVerdicts } from '#policy/trust/peer-verdicts.ts';
import { sentChain, sha256Of } from '#policy/x509/sent-chain.ts';
import type { EventLog } from '../event-log.ts';
import { refusedBy } from './refuse-call.ts';

/** A call, as far as the proof of its caller goes. */
export interface ProvenCall {
  /** `ADDRESS:PORT` of the caller. */
  getPeer(): string;
}

/** Why a certificate of this identity and serial number (hex) is not to be believed; undefined: it may be. */
export type IsRevoked = (uri: string, serial: string) => string | undefined;

/** An identity proven by a certificate, and how long the proof holds. */
export interface CertifiedCaller {
  readonly identity: SpiffeId;
  readonly expiresAtMs: number;
}

export interface CallerProofsOptions {
  readonly trustDomain: string;
  /** Roots of the mesh; PEM. */
  readonly trustBundlePem: string;
  readonly isRevoked: IsRevoked;
  readonly log: EventLog;
  readonly now: () => number;
}

/**
 * What callers proved by the certificates of their connections, judged by the rules of every sidecar. A certificate that is refused
 * does not end its connection: the calls on it are refused, by its code, so that the caller's log says why.
 */
export class CallerProofs {
  readonly #options: CallerProofsOptions;
  readonly #verdicts = new PeerVerdicts(() => this.#trust);
  readonly #judgements = new WeakMap<TLSSocket, Judgement>();
  /** By the caller's address and port, as its calls name it. */
  readonly #open = new Map<string, TLSSocket>();
  #trust: PeerTrust;

  constructor(options: CallerProofsOptions) {
    this.#options = options;
    this.#trust = this.#trustIn(options.trustBundlePem);
  }

  /** Remembers a connection whose handshake is complete, until it closes. */
  add(socket: TLSSocket): void {
    const key = `${socket.remoteAddress}:${socket.remotePort}`;
    const judgement = this.judgementOf(socket);
    if (judgement?.kind === 'refused') {
      const { code, reason } = judgement;
      this.#options.log('caller_certificate_refused', { peer: key, code, reason });
    }
    this.#open.set(key, socket);
    socket.once('close', () => {
      if (this.#open.get(key) === socket) this.#open.delete(key);
    });
  }

  /** Undefined: the caller presented no certificate. */
  judgementOf(socket: TLSSocket): Judgement | undefined {
    const known = this.#judgements.get(socket);
    if (known !== undefined) return known;
    const leaf = socket.getPeerX509Certificate();
    if (leaf === undefined) return undefined;
    const judgement = this.#verdicts.judge(sha256Of(leaf), () => sentChain(leaf), 'client', this.#options.now());
    this.#judgements.set(socket, judgement);
    return judgement;
  }

  /** A certificate that was signed here a moment ago: its bearer comes with it at once, and there is nothing to find out. */
  issued(
    id: SpiffeId,
    { chain, expiresAtMs }: { readonly chain: readonly Buffer[]; readonly expiresAtMs: number },
  ): void {
    this.#verdicts.remember(id, chain, 'client', expiresAtMs);
  }

  /** The identity that the caller's certificate proves. Undefined: it presented none. Throws CallRefusal for one that proves nothing (now). */
  of(call: ProvenCall): CertifiedCaller | undefined {
    const socket = this.#open.get(call.getPeer());
    const judgement = socket === undefined ? undefined : this.judgementOf(socket);
    if (judgement === undefined) return undefined;
    if (judgement.kind === 'refused') throw refusedBy(judgement.code, judgement.reason);
    const { id, notAfterMs, serial } = judgement.peer;
    // A connection outlives its handshake: what ends meanwhile is looked at in each call.
    if (this.#options.now() > notAfterMs) {
      const clock = new Date(this.#options.now()).toISOString();
      throw refusedBy('certificate_expired', `it ended ${new Date(notAfterMs).toISOString()}; clock here ${clock}`);
    }
    const revocation = this.#options.isRevoked(id.uri, serial);
    if (revocation !== undefined) throw refusedBy('certificate_revoked', revocation);
    return { identity: id, expiresAtMs: notAfterMs };
  }

  /** Trusts these roots from now on; ends the connections of those who are not believed under them. */
  trust(trustBundlePem: string): void {
    const trust = this.#trustIn(trustBundlePem);
    if (trust.rootsText === this.#trust.rootsText) return;
    this.#trust = trust;
    this.#judgeAgain();
  }

  /** Ends the connections of those who are revoked; to be called when somebody is. */
  endRevoked(): void {
    // another object: what was judged under the former one is asked about again
    this.#trust = { ...this.#trust };
    this.#judgeAgain();
  }

  #judgeAgain(): void {
    const nowMs = this.#options.now();
    for (const [peer, socket] of [...this.#open]) {
      const before = this.#judgements.get(socket);
      if (before?.kind !== 'accepted') {
        this.#judgements.delete(socket); // it may be believed now
        continue;
      }
      const judgement = this.#verdicts.judgeAgain(before.peer, nowMs);
      if (judgement.kind === 'accepted') continue;
      const { code, reason } = judgement;
      this.#options.log('connection_ended', { peer, identity: before.peer.id.uri, code, reason });
      socket.destroy();
    }
  }

  #trustIn(rootsPem: string): PeerTrust {
    const { trustDomain, isRevoked } = this.#options;
    return { ...compileTrust([{ trustDomain, rootsPem }], [], NOBODY_REVOKED), revocationOf: isRevoked };
  }
}
