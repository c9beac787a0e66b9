import { createHash } from 'node:crypto';
import type { SpiffeId } from '../identity/spiffe-id.ts';
import { ownCopy } from '../x509/own-copy.ts';
import { type Certificate, readCertificate } from '../x509/read-certificate.ts';
import { type PeerUse, type PeerVerdict, verifyPeer } from '../x509/verify-peer.ts';
import { ChainMemory } from './chain-memory.ts';
import type { PeerTrust } from './peer-trust.ts';
import { setBounded } from './set-bounded.ts';

/** Peers whose verdict is remembered; of one that was forgotten the next handshake costs a verification more. */
export const MAX_KNOWN_PEERS = 8_192;

/** A peer that proved who it is, and with what: enough to ask again whether that is still good. */
export interface ProvenPeer {
  readonly id: SpiffeId;
  /** SHA-256 of the leaf's DER; lower-case hex. */
  readonly sha256: string;
  /** Of the leaf; lower-case hex. */
  readonly serial: string;
  /** The latest begin among the certificates of its path; ms since the epoch. */
  readonly notBeforeMs: number;
  /** The first end among the certificates of its path; ms since the epoch. */
  readonly notAfterMs: number;
  readonly use: PeerUse;
  /** Its path but for the root, leaf first; DER. Nothing else of what it sent is kept, and the issuers are of one memory for all peers. */
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
 * Judges the certificates of peers, each once: what was accepted stays so while all certificates of its path are in time and trust is the same.
 * Refusals are not kept. A handshake that is resumed brings the leaf alone: what stood above it is remembered by its issuer.
 */
export class PeerVerdicts {
  readonly #trust: () => PeerTrust;
  /** By use and leaf; the one that was verified last stands last. */
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
    if (known !== undefined && isInTime(known.peer, nowMs) && known.trust.rootsText === trust.rootsText) {
      // a list of revocations that is another leaves all signatures as good as they were
      const isRevoked =
        known.trust !== trust && known.serials.some((serial) => trust.revocationOf(known.peer.id.uri, serial));
      known.trust = trust;
      if (!isRevoked) return { kind: 'accepted', peer: known.peer };
    }
    const chain = chainSent();
    let verdict = verifyPeer(chain, trust, nowMs, use);
    if (verdict.kind === 'refused' && verdict.code === 'untrusted_issuer') {
      const whole = this.#chains.complete(chain);
      if (whole !== chain) verdict = verifyPeer(whole, trust, nowMs, use);
    }
    this.#known.delete(key);
    if (verdict.kind === 'refused') return verdict;
    const { id, serial, path, notBeforeMs, notAfterMs } = verdict;
    const [leaf, ...issuers] = path;
    const above = issuers.map(({ der }) => der);
    this.#chains.remember(leaf, above);
    const peer = { id, sha256, serial, notBeforeMs, notAfterMs, use, chain: [ownCopy(leaf.der), ...above] };
    this.#keep({ peer, serials: path.map((certificate) => certificate.serial), trust });
    return { kind: 'accepted', peer };
  }

  /** Takes a chain for good that was signed here and now, under roots that are trusted. Its issuers are kept, not copied. */
  remember(id: SpiffeId, chain: readonly Buffer[], use: PeerUse, notAfterMs: number): void {
    const [leafDer, ...above] = chain;
    if (leafDer === undefined) return;
    const leaf = readCertificate(leafDer);
    const path = [leaf, ...above.map(issuerIn)];
    const peer = {
      id,
      sha256: createHash('sha256').update(leafDer).digest('hex'),
      serial: leaf.serial,
      notBeforeMs: Math.max(...path.map(({ notBeforeMs }) => notBeforeMs)),
      notAfterMs,
      use,
      chain: [ownCopy(leafDer), ...above],
    };
    this.#keep({ peer, serials: path.map(({ serial }) => serial), trust: this.#trust() });
  }

  /** Asks again of a peer that was accepted before. */
  judgeAgain({ sha256, chain, use }: ProvenPeer, nowMs: number): Judgement {
    return this.judge(sha256, () => chain, use, nowMs);
  }

  #keep(known: Known): void {
    const { use, sha256 } = known.peer;
    setBounded(this.#known, `${use} ${sha256}`, known, MAX_KNOWN_PEERS);
  }
}

function isInTime({ notBeforeMs, notAfterMs }: ProvenPeer, nowMs: number): boolean {
  return nowMs >= notBeforeMs && nowMs <= notAfterMs;
}

/** Those of issuers, which stand in thousands of chains, are read once. */
const issuersRead = new WeakMap<Buffer, Pick<Certificate, 'serial' | 'notBeforeMs'>>();

function issuerIn(der: Buffer): Pick<Certificate, 'serial' | 'notBeforeMs'> {
  const known = issuersRead.get(der);
  if (known !== undefined) return known;
  const { serial, notBeforeMs } = readCertificate(der);
  issuersRead.set(der, { serial, notBeforeMs });
  return { serial, notBeforeMs };
}
