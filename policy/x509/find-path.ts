import type { Code } from '../error/codes.ts';
import type { IssuerMemory, Signer } from './issuer-memory.ts';
import { nameOf, type PathRefusal } from './judge-path.ts';
import { nameText } from './name-text.ts';
import { keyComplaint } from './public-key.ts';
import type { Certificate } from './read-certificate.ts';
import type { Root } from './root.ts';
import { algorithmComplaint, isSignedBy } from './verify-signature.ts';

/** Most issuers that one verification tries: chains of an attacker's make can offer very many paths. */
export const MAX_PATH_STEPS = 32;

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
 * Finds the first path from the leaf to a root that is good (RFC 4158 §2): by names, then by signatures; the leaf comes first in
 * `chain`, the others in any order, also such as lead nowhere. Roots come before intermediates, so that the shortest path is the first.
 */
export function findPath(
  chain: readonly [Certificate, ...Certificate[]],
  roots: readonly Root[],
  judge: PathJudge,
  memory: IssuerMemory,
): Path | PathRefusal {
  const [leaf, ...others] = chain;
  let steps = 0;
  let progress: Progress = PROGRESS.noIssuer;
  /** Written out at the end, and not for good chains. */
  let refusal = () => unknownIssuer(leaf, 0);

  function note(at: Progress, found: () => PathRefusal): void {
    if (at <= progress) return;
    progress = at;
    refusal = found;
  }

  /** True when the key of `issuer` made the signature; notes why not. */
  function isIssuedBy(
    child: Certificate,
    index: number,
    issuer: Certificate,
    signer: Signer = memory.signerOf(issuer),
  ): boolean {
    if (++steps > MAX_PATH_STEPS) {
      const reason = `none of the first ${MAX_PATH_STEPS} signatures led to a root`;
      note(PROGRESS.tooMany, () => refused('untrusted_issuer', reason));
      return false;
    }
    if (memory.wasSignedBy(child, signer)) return true;
    const complaint = algorithmComplaint(child.signatureAlgorithm) ?? issuerComplaint(signer);
    if (complaint !== undefined) {
      note(PROGRESS.weak, () => refused('weak_signature', `${nameOf(child, index)}: ${complaint}`));
      return false;
    }
    if (isSignedBy(child, signer.publicKey, signer.facts)) return true;
    // of several keys of one name the identifier says which: with another it was somebody else's
    if (!hasOtherKey(child, issuer)) {
      note(PROGRESS.wrongSignature, () => wrongSignature(child, index));
    }
    return false;
  }

  function throughRoots(path: readonly Certificate[], child: Certificate, hasOther: boolean): Path | undefined {
    for (const root of roots) {
      if (!root.subject.equals(child.issuer) || hasOtherKey(child, root.certificate) !== hasOther) continue;
      if (!isIssuedBy(child, path.length - 1, root.certificate, root.signer)) continue;
      const found = judge(path, root);
      if (found === undefined) return { certificates: path, root };
      note(PROGRESS.judged, () => found);
    }
    return undefined;
  }

  function throughOthers(path: readonly Certificate[], child: Certificate, hasOther: boolean): Path | undefined {
    for (const candidate of others) {
      if (steps > MAX_PATH_STEPS) return undefined;
      if (!candidate.subject.equals(child.issuer) || hasOtherKey(child, candidate) !== hasOther) continue;
      if (isOnPath(path, candidate) || !isIssuedBy(child, path.length - 1, candidate)) continue;
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
      subject.equals(candidate.subject) && subjectPublicKeyInfo.equals(candidate.subjectPublicKeyInfo),
  );
}

/** RFC 5280 §4.2.1.1: both state a key identifier, and not the same. */
function hasOtherKey(child: Certificate, issuer: Certificate): boolean {
  const wanted = child.extensions.authorityKeyIdentifier;
  const { subjectKeyIdentifier } = issuer.extensions;
  return wanted !== undefined && subjectKeyIdentifier !== undefined && !wanted.equals(subjectKeyIdentifier);
}

function issuerComplaint({ facts }: Signer): string | undefined {
  const complaint = keyComplaint(facts, true);
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
