import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import type { AuthContext } from '@grpc/grpc-js/build/src/auth-context.js';
import type { SpiffeId } from '#policy/identity/spiffe-id.ts';
import { compileTrust, NOBODY_REVOKED, type PeerTrust } from '#policy/trust/peer-trust.ts';
import { type Judgement, PeerVerdicts } from '#policy/trust/peer-verdicts.ts';
import { sentChain, sha256Of } from '#policy/x509/sent-chain.ts';
import type { EventLog } from '../event-log.ts';
import { refusedBy } from './refuse-call.ts';

/** Connections that stand on a root that is trusted no longer are left this long: their sidecars hear so, and come back otherwise. */
export const ROOT_REMOVED_GRACE_MS = 2_000;

/** A call, as far as the proof of its caller goes. */
export interface ProvenCall {
  getAuthContext(): AuthContext;
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
  /** Further names of the trust domain: a certificate under one counts as that of the present name. */
  readonly aliases?: readonly string[];
  /** Roots of the mesh; PEM. */
  readonly trustBundlePem: string;
  readonly isRevoked: IsRevoked;
  readonly log: EventLog;
  readonly now: () => number;
}

interface Doubted {
  readonly socket: TLSSocket;
  readonly identity: string;
  readonly judgement: Extract<Judgement, { readonly kind: 'refused' }>;
}

/**
 * What callers proved by the certificates of their connections, judged by the rules of every sidecar. A certificate that is refused
 * does not end its connection: the calls on it are refused, by its code, so that the caller's log says why.
 */
export class CallerProofs {
  readonly #options: CallerProofsOptions;
  readonly #verdicts = new PeerVerdicts(() => this.#trust);
  readonly #judgements = new WeakMap<TLSSocket, Judgement>();
  readonly #open = new Set<TLSSocket>();
  /** By what gRPC hands on of a call's very connection. Not by its address: two connections may come from one. */
  readonly #sockets = new WeakMap<object, TLSSocket>();
  #trust: PeerTrust;

  constructor(options: CallerProofsOptions) {
    this.#options = options;
    this.#trust = this.#trustIn(options.trustBundlePem);
  }

  /** Remembers a connection whose handshake is complete, until it closes; its calls are known by it from then on. */
  add(socket: TLSSocket): void {
    const leaf = socket.getPeerX509Certificate();
    if (leaf === undefined) return;
    const judgement = this.#judge(socket, leaf);
    if (judgement.kind === 'refused') {
      const { code, reason } = judgement;
      this.#options.log('caller_certificate_refused', { peer: peerOf(socket), code, reason });
    }
    this.#open.add(socket);
    socket.once('close', () => this.#open.delete(socket));
    // gRPC asks the socket of a call for its certificate, and hands on the very object that it gets (`getAuthContext`), of
    // those that are `authorized`, which nothing but this reads. Node's would be read of DER for nobody, with all its names.
    const certificate = { raw: leaf.raw };
    this.#sockets.set(certificate, socket);
    Reflect.set(socket, 'getPeerCertificate', () => certificate);
    socket.authorized = true;
  }

  /** Undefined: the caller presented no certificate. */
  judgementOf(socket: TLSSocket): Judgement | undefined {
    const known = this.#judgements.get(socket);
    if (known !== undefined) return known;
    const leaf = socket.getPeerX509Certificate();
    return leaf === undefined ? undefined : this.#judge(socket, leaf);
  }

  #judge(socket: TLSSocket, leaf: X509Certificate): Judgement {
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
    const { sslPeerCertificate } = call.getAuthContext();
    const socket = sslPeerCertificate === undefined ? undefined : this.#sockets.get(sslPeerCertificate);
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
    return { identity: this.#trust.canonical(id), expiresAtMs: notAfterMs };
  }

  /**
   * Trusts these roots from now on: calls that begin by other certificates are refused at once. The connections of those who are not
   * believed any more end after `cutAfterMs`, so that what is published meanwhile reaches the streams on them.
   */
  trust(trustBundlePem: string, { cutAfterMs = ROOT_REMOVED_GRACE_MS } = {}): void {
    const trust = this.#trustIn(trustBundlePem);
    if (trust.rootsText === this.#trust.rootsText) return;
    this.#trust = trust;
    const doubted = this.#judgeAgain();
    for (const { socket, judgement } of doubted) this.#judgements.set(socket, judgement);
    if (doubted.length === 0) return;
    setTimeout(() => this.#cut(doubted.filter(({ socket }) => !this.#isBelieved(socket))), cutAfterMs).unref();
  }

  /** Ends the connections of those who are revoked, and asks anew about those who were; to be called when revocations change. */
  endRevoked(): void {
    // another object: what was judged under the former one is asked about again
    this.#trust = { ...this.#trust };
    this.#cut(this.#judgeAgain());
  }

  /** Those of open connections that were believed, and are not now. */
  #judgeAgain(): readonly Doubted[] {
    const nowMs = this.#options.now();
    const doubted: Doubted[] = [];
    for (const socket of this.#open) {
      const before = this.#judgements.get(socket);
      if (before?.kind !== 'accepted') {
        this.#judgements.delete(socket); // it may be believed now
        continue;
      }
      const judgement = this.#verdicts.judgeAgain(before.peer, nowMs);
      if (judgement.kind === 'refused') doubted.push({ socket, identity: before.peer.id.uri, judgement });
    }
    return doubted;
  }

  #isBelieved(socket: TLSSocket): boolean {
    return this.#open.has(socket) && this.judgementOf(socket)?.kind === 'accepted';
  }

  #cut(doubted: readonly Doubted[]): void {
    for (const { socket, identity, judgement } of doubted) {
      if (!this.#open.has(socket)) continue;
      const { code, reason } = judgement;
      this.#options.log('connection_ended', { peer: peerOf(socket), identity, code, reason });
      socket.destroy();
    }
  }

  #trustIn(rootsPem: string): PeerTrust {
    const { trustDomain, aliases = [], isRevoked } = this.#options;
    return { ...compileTrust([{ trustDomain, rootsPem }], aliases, NOBODY_REVOKED), revocationOf: isRevoked };
  }
}

function peerOf({ remoteAddress, remotePort }: TLSSocket): string {
  return `${remoteAddress}:${remotePort}`;
}
