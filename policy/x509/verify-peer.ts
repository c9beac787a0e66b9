import { createHash } from 'node:crypto';
import type { Code } from '../error/codes.ts';
import type { SpiffeId } from '../identity/spiffe-id.ts';
import { DerError } from './der-reader.ts';
import { findPath, type Path } from './find-path.ts';
import { IssuerMemory } from './issuer-memory.ts';
import { judgePath, nameOf, type PeerUse } from './judge-path.ts';
import { leafIdentity } from './leaf-identity.ts';
import type { Certificate } from './read-certificate.ts';
import type { Root } from './root.ts';

export type { PeerUse } from './judge-path.ts';

export type PeerVerdict = AcceptedPeer | RefusedPeer;

export interface AcceptedPeer {
  readonly kind: 'accepted';
  readonly id: SpiffeId;
  /** Between the latest begin and the first end among the certificates of the path, its root included, the verdict stays. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** Of the leaf; lower-case hex. */
  readonly serial: string;
  /** The path but for its root, leaf first: each of them may be revoked. Of issuers, those that are remembered. */
  readonly path: readonly [Certificate, ...Certificate[]];
  /** SHA-256 of the leaf's DER; lower-case hex. */
  readonly sha256: string;
}

export interface RefusedPeer {
  readonly kind: 'refused';
  readonly code: Code;
  /** For the log; no word of it is for the peer. */
  readonly reason: string;
}

/** Whom to believe: what of policy/trust's PeerTrust is asked here. */
export interface VerificationTrust {
  /** Undefined: the trust domain is not known. */
  rootsOf(trustDomain: string): readonly Root[] | undefined;
  /** Why an identity or a serial (lower-case hex) is not to be believed any more; undefined: it is. */
  revocationOf(uri: string, serial: string): string | undefined;
}

/** It changes what a verification costs, and nothing of its outcome. */
const memory = new IssuerMemory();

/** Most certificates that a peer may send. */
export const MAX_CHAIN_LENGTH = 10;

/**
 * Judges the certificates of a peer that has proved, by its handshake, to have the key of the first of them. `chain`: DER, leaf first,
 * the others in any order. The SPIFFE ID of what is accepted was vouched for by a root of its own trust domain, now.
 * Sources: RFC 5280 §6.1, X509-SVID §5.
 */
export function verifyPeer(
  chain: readonly Buffer[],
  trust: VerificationTrust,
  nowMs: number,
  use: PeerUse,
): PeerVerdict {
  try {
    return judge(chain, trust, nowMs, use);
  } catch (error) {
    if (error instanceof DerError) return refused('malformed_certificate', error.message);
    // a fault of ours: nobody is believed by it
    return refused('internal_error', error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
}

function judge(chain: readonly Buffer[], trust: VerificationTrust, nowMs: number, use: PeerUse): PeerVerdict {
  if (chain.length > MAX_CHAIN_LENGTH) {
    const reason = `a chain of ${chain.length} certificates exceeds the limit of ${MAX_CHAIN_LENGTH}`;
    return refused('certificate_chain_too_long', reason);
  }
  const [leaf, ...others] = chain.map(readNth);
  if (leaf === undefined) return refused('no_client_certificate', 'the peer presented no certificate');
  const identity = leafIdentity(leaf);
  if (identity.kind === 'refused') return identity;
  const { id } = identity;
  const roots = trust.rootsOf(id.trustDomain);
  if (roots === undefined) {
    return refused('foreign_trust_domain', `${id.uri} is not of a trust domain that is known here`);
  }
  const judgeTimed = (certificates: readonly Certificate[], root: Root) => judgePath(certificates, root, nowMs, use);
  const path = findPath([leaf, ...others], roots, judgeTimed, memory);
  if ('kind' in path) return path;
  const revoked = revocation(path, id, trust);
  if (revoked !== undefined) return revoked;
  return accepted(path, [leaf, ...rememberIssuers(path)], id);
}

function readNth(der: Buffer, index: number): Certificate {
  try {
    return memory.read(der);
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
    throw new DerError(`certificate ${index + 1} of the chain: ${error.complaint}`, error.position);
  }
}

function rememberIssuers({ certificates, root }: Path): readonly Certificate[] {
  const issuers = certificates.slice(1);
  return issuers.map((issuer, index) => {
    const above = issuers[index + 1];
    return memory.remember(issuer, above === undefined ? root.signer : memory.signerOf(above));
  });
}

/** An issuer whose serial was revoked vouches for nobody. */
function revocation(path: Path, id: SpiffeId, trust: VerificationTrust): RefusedPeer | undefined {
  for (const [index, certificate] of path.certificates.entries()) {
    const reason = trust.revocationOf(id.uri, certificate.serial);
    if (reason !== undefined) return refused('certificate_revoked', `${nameOf(certificate, index)}: ${reason}`);
  }
  return undefined;
}

function accepted({ root }: Path, path: AcceptedPeer['path'], id: SpiffeId): AcceptedPeer {
  const [leaf] = path;
  let { notBeforeMs, notAfterMs } = root;
  for (const certificate of path) {
    notBeforeMs = Math.max(notBeforeMs, certificate.notBeforeMs);
    notAfterMs = Math.min(notAfterMs, certificate.notAfterMs);
  }
  const sha256 = createHash('sha256').update(leaf.der).digest('hex');
  return { kind: 'accepted', id, notBeforeMs, notAfterMs, serial: leaf.serial, path, sha256 };
}

function refused(code: Code, reason: string): RefusedPeer {
  return { kind: 'refused', code, reason };
}
