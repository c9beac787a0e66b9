import type { Code } from '../error/codes.ts';
import type { IssuerMemory, Signer } from './issuer-memory.ts';
import { nameOf, type PathRefusal } from './judge-path.ts';
import { nameText } from './name-text.ts';
import { keyComplaint } from './public-key.ts';
import type { Certificate } from './read-certificate.ts';
import type { Root } from './root.ts';
import { algorithmComplaint, isSignedBy } from './verify-signature.ts';

/** Most steps from a certificate to one that may be its issuer, by name: chains of an attacker's make can offer very many paths. */
export const MAX_PATH_STEPS = 128;
/** Most signatures that are asked for in one verification, so also the longest path; of a root of P-384 or P-521 each costs a millisecond or two. */
export const MAX_SIGNATURES = 8;

export interface Path {
  /** Leaf first; each was signed by the next, the last by the root. */
  readonly certificates: readonly Certificate[];
  readonly root: Root;
}

/** What is wrong with a path whose signatures are good; undefined: nothing, it is the one. */
export type PathJudge = (certificates: readonly Certificate[], root: Root) => PathRefusal | undefined;

/** The further a path came, the more its refusal says; of equals the first counts. */
const PROGRESS = { noIssuer: 0, wrongSignature: 1, weak: 2, tooMany: 3, judged: 4 } as const;
type Progress = (typeof PROGRESS)[keyof typeof PROGRESS];

/**
 * Finds the first path from the leaf to a root that is good (RFC 4158 §2); the leaf comes first in `chain`, the others in any order, also
 * such as lead nowhere. Paths are built by names alone. The signatures of one that comes to a root are verified from that root downwards:
 * no key verifies anything before a root has vouched for it, so that who is not of this root gets one signature out of us for each
 * certificate that names the root, by the root's own key. Roots come before intermediates, so that the shortest path is the first.
 */
export function findPath(
  chain: readonly [Certificate, ...Certificate[]],
  roots: readonly Root[],
  judge: PathJudge,
  memory: IssuerMemory,
): Path | PathRefusal {
  const [leaf, ...others] = chain;
  /** Whether the key of an issuer made the signature of a certificate, by that and by this. */
  const signatures = new Map<Certificate, Map<Certificate, boolean>>();
  let steps = 0;
  let signaturesAsked = 0;
  let progress: Progress = PROGRESS.noIssuer;
  /** Written out at the end, and not for good chains. */
  let refusal = () => unknownIssuer(leaf, 0);

  function note(at: Progress, found: () => PathRefusal): void {
    if (at <= progress) return;
    progress = at;
    refusal = found;
  }

  function isExhausted(): boolean {
    return steps > MAX_PATH_STEPS || signaturesAsked > MAX_SIGNATURES;
  }

  /** Counts a step; false when there were too many. */
  function maySearchOn(): boolean {
    if (++steps <= MAX_PATH_STEPS) return true;
    const reason = `none of the first ${MAX_PATH_STEPS} steps by names led to a root that vouches for it`;
    note(PROGRESS.tooMany, () => refused('untrusted_issuer', reason));
    return false;
  }

  /** True when the key of `issuer` made the signature; notes why not. Remembered ones count, so that memory changes no outcome. */
  function isIssuedBy(child: Certificate, index: number, issuer: Certificate, signerOf: () => Signer): boolean {
    const complaint = algorithmComplaint(child.signatureAlgorithm) ?? issuerComplaint(issuer);
    if (complaint !== undefined) {
      note(PROGRESS.weak, () => refused('weak_signature', `${nameOf(child, index)}: ${complaint}`));
      return false;
    }
    if (++signaturesAsked > MAX_SIGNATURES) {
      const reason = `the first ${MAX_SIGNATURES} signatures do not lead from a root to the leaf`;
      note(PROGRESS.tooMany, () => refused('untrusted_issuer', reason));
      return false;
    }
    const signer = signerOf();
    if (memory.wasSignedBy(child, signer) || isSignedBy(child, signer.publicKey, signer.facts)) return true;
    // of several keys of one name the identifier says which: with another it was somebody else's
    if (!hasOtherKey(child, issuer)) {
      note(PROGRESS.wrongSignature, () => wrongSignature(child, index));
    }
    return false;
  }

  function wasIssuedBy(child: Certificate, index: number, issuer: Certificate, signerOf: () => Signer): boolean {
    const known = signatures.get(child) ?? new Map<Certificate, boolean>();
    signatures.set(child, known);
    const isIssued = known.get(issuer) ?? isIssuedBy(child, index, issuer, signerOf);
    known.set(issuer, isIssued);
    return isIssued;
  }

  function isSignedFromRoot(path: readonly Certificate[], root: Root): boolean {
    let issuer = root.certificate;
    let signerOf = () => root.signer;
    for (let index = path.length - 1; index >= 0; index--) {
      const child = path[index];
      if (child === undefined || !wasIssuedBy(child, index, issuer, signerOf)) return false;
      issuer = child;
      signerOf = () => memory.signerOf(child);
    }
    return true;
  }

  function throughRoots(path: readonly Certificate[], child: Certificate, hasOther: boolean): Path | undefined {
    for (const root of roots) {
      if (isExhausted()) return undefined;
      if (!root.subject.equals(child.issuer) || hasOtherKey(child, root.certificate) !== hasOther) continue;
      if (!maySearchOn() || !isSignedFromRoot(path, root)) continue;
      const found = judge(path, root);
      if (found === undefined) return { certificates: path, root };
      note(PROGRESS.judged, () => found);
    }
    return undefined;
  }

  function throughOthers(path: readonly Certificate[], child: Certificate, hasOther: boolean): Path | undefined {
    for (const candidate of others) {
      if (isExhausted()) return undefined;
      if (!candidate.subject.equals(child.issuer) || hasOtherKey(child, candidate) !== hasOther) continue;
      if (isOnPath(path, candidate) || !maySearchOn()) continue;
      if (progress === PROGRESS.noIssuer) refusal = () => unknownIssuer(candidate, path.length);
      const found = extend([...path, candidate], candidate);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** Those of the key that the child names, or of an unknown one, come first: a signature that fails costs as much. */
  function extend(path: readonly Certificate[], child: Certificate): Path | undefined {
    return (
      throughRoots(path, child, false) ??
      throughOthers(path, child, false) ??
      throughRoots(path, child, true) ??
      throughOthers(path, child, true)
    );
  }

  return extend([leaf], leaf) ?? refusal();
}

/** RFC 4158 §2.4.2: the same name and key twice is a loop. */
function isOnPath(path: readonly Certificate[], candidate: Certificate): boolean {
  return path.some(
    ({ subject, subjectPublicKeyInfo }) =>
      subjectPublicKeyInfo.equals(candidate.subjectPublicKeyInfo) && subject.equals(candidate.subject),
  );
}

/** RFC 5280 §4.2.1.1: both state a key identifier, and not the same. */
function hasOtherKey(child: Certificate, issuer: Certificate): boolean {
  const wanted = child.extensions.authorityKeyIdentifier;
  const { subjectKeyIdentifier } = issuer.extensions;
  return wanted !== undefined && subjectKeyIdentifier !== undefined && !wanted.equals(subjectKeyIdentifier);
}

function issuerComplaint({ key }: Certificate): string | undefined {
  const complaint = keyComplaint(key, true);
  return complaint === undefined ? undefined : `of its issuer: ${complaint}`;
}

function unknownIssuer(certificate: Certificate, index: number): PathRefusal {
  const reason = 'no root of its trust domain is of that name, and no certificate of the chain leads to one';
  return refused('untrusted_issuer', `${nameOf(certificate, index)}: ${reason}`);
}

function wrongSignature(child: Certificate, index: number): PathRefusal {
  const reason = `not signed by the key of "${nameText(child.issuer)}" that is known here`;
  return refused('certificate_signature_invalid', `${nameOf(child, index)}: ${reason}`);
}

function refused(code: Code, reason: string): PathRefusal {
  return { kind: 'refused', code, reason };
}
