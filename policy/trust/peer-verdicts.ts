import { createHash } from 'node:crypto';
import type { SpiffeId } from '../identity/spiffe-id.ts';
import { readCertificate } from '../x509/read-certificate.ts';
import { type PeerUse, type PeerVerdict, verifyPeer } from '../x509/verify-peer.ts';
import { ChainMemory } from './chain-memory.ts';
import type { PeerTrust } from './peer-trust.ts';

/** Peers whose verdict is remembered; of one that was forgotten the next handshake costs a verification more. */
export const MAX_KNOWN_PEERS = 8_192;

/** A peer that proved who it is, and with what: enough to ask again whether that is still good. */
export interface ProvenPeer {
  readonly id: SpiffeId;
  /** SHA-256 of the leaf's DER; lower-case hex. */
  readonly sha256: string;
  /** Of the leaf; lower-case hex. */
  readonly serial: string;
  /** The first end among the certificates of its path; ms since the epoch. */
  readonly notAfterMs: number;
  readonly use: PeerUse;
  /** Leaf first; DER. */
  readonly chain: readonly Buffer[];
}

export type Judgement =
  | { readonly kind: 'accepted'; readonly peer: ProvenPeer }
  | Extract<PeerVerdict, { readonly kind: 'refused' }>;

interface Known {
  readonly peer: ProvenPeer;
  /** Of the certificates of its path: an issuer may be revoked as well. */
  readonly serials: readonly string[];
  /** Under which the verdict was reached. */
  trust: PeerTrust;
}

/**
 * Judges the certificates of peers, each once: what was accepted stays so until a certificate of its path ends or trust is another.
 * Refusals are not kept. A handshake that is resumed brings the leaf alone: what stood above it is remembered by its issuer.
 */
export class PeerVerdicts {
  readonly #trust: () => PeerTrust;
  /** By use and leaf; the one that was asked for last stands last. */
  readonly #known = new Map<string, Known>();
  readonly #chains = new ChainMemory();

  constructor(trust: () => PeerTrust) {
    this.#trust = trust;
  }

  /** `sha256`: of the leaf. `chainSent`: leaf first, as the handshake had it; asked for where the leaf is not known. */
  judge(sha256: string, chainSent: () => readonly Buffer[], use: PeerUse, nowMs: number): Judgement {
    const trust = this.#trust();
    const key = `${use} ${sha256}`;
    const known = this.#known.get(key);
    if (known !== undefined && nowMs <= known.peer.notAfterMs && known.trust.rootsText === trust.rootsText) {
      // a list of revocations that is another leaves all signatures as good as they were
      const isRevoked =
        known.trust !== trust && known.serials.some((serial) => trust.revocationOf(known.peer.id.uri, serial));
      known.trust = trust;
      if (!isRevoked) return { kind: 'accepted', peer: known.peer };
    }
    const chain = chainSent();
    let whole = chain;
    let verdict = verifyPeer(chain, trust, nowMs, use);
    if (verdict.kind === 'refused' && verdict.code === 'untrusted_issuer') {
      whole = this.#chains.complete(chain);
      if (whole !== chain) verdict = verifyPeer(whole, trust, nowMs, use);
    }
    this.#known.delete(key);
    if (verdict.kind === 'refused') return verdict;
    this.#chains.remember(whole);
    const { id, serial, serials, notAfterMs } = verdict;
    const peer = { id, sha256, serial, notAfterMs, use, chain: whole };
    this.#keep({ peer, serials, trust });
    return { kind: 'accepted', peer };
  }

  /** Takes a chain for good that was signed here and now, under roots that are trusted. */
  remember(id: SpiffeId, chain: readonly Buffer[], use: PeerUse, notAfterMs: number): void {
    const serials = chain.map(serialOf);
    const [leaf] = chain;
    const [serial] = serials;
    if (leaf === undefined || serial === undefined) return;
    const sha256 = createHash('sha256').update(leaf).digest('hex');
    this.#keep({ peer: { id, sha256, serial, notAfterMs, use, chain }, serials, trust: this.#trust() });
  }

  /** Asks again of a peer that was accepted before. */
  judgeAgain({ sha256, chain, use }: ProvenPeer, nowMs: number): Judgement {
    return this.judge(sha256, () => chain, use, nowMs);
  }

  #keep(known: Known): void {
    const { use, sha256 } = known.peer;
    if (this.#known.size >= MAX_KNOWN_PEERS) {
      const [oldest] = this.#known.keys();
      if (oldest !== undefined) this.#known.delete(oldest);
    }
    this.#known.set(`${use} ${sha256}`, known);
  }
}

/** Those of issuers, which stand in thousands of chains, are read once. */
const serialsRead = new WeakMap<Buffer, string>();

function serialOf(der: Buffer): string {
  const serial = serialsRead.get(der) ?? readCertificate(der).serial;
  serialsRead.set(der, serial);
  return serial;
}
