import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import type { Issuer } from '#policy/x509/certificate.ts';
import { certificatesFromPem } from '#policy/x509/pem.ts';

/** The issuing certificate of an authority, those above it, and the roots. */
export interface ChainedCertificate {
  readonly issuer: Omit<Issuer, 'privateKey'>;
  /** What follows a leaf in its chain: the issuer, then the authorities above it, without the root; DER. */
  readonly intermediates: readonly Buffer[];
  /** DER. */
  readonly roots: readonly Buffer[];
}

/** Keys and certificates of an authority, checked: the issuer's key fits and its chain ends in a root. */
export interface IssuingMaterial extends ChainedCertificate {
  readonly issuer: Issuer;
}

/** One that another took the place of, for as long as there is somebody who knows no other. */
export interface FormerAuthority extends ChainedCertificate {
  /** Undefined: it signs no more. */
  readonly privateKey: KeyObject | undefined;
  /** Until then it goes on signing: not everybody knows the roots of the one that came after it. */
  readonly signsUntilMs: number;
  /** Until then its roots are trusted: the last leaf that it signed ends. */
  readonly trustedUntilMs: number;
}

export interface AuthorityMaterial extends IssuingMaterial {
  /** Oldest first. */
  readonly former: readonly FormerAuthority[];
  /** Roots that are trusted before anything is signed under them; DER. */
  readonly next?: readonly Buffer[];
}

/** The text of Istio's plug-in authority files. */
export interface AuthorityFiles {
  readonly rootCertificates: string;
  readonly issuingCertificate: string;
  readonly issuingKey: string;
  readonly chain: string;
}

/**
 * Checks the files of an authority against each other. Throws with one sentence that names the file at fault:
 * a mesh must not start on an authority whose certificates nobody would accept.
 */
export function readAuthorityMaterial(files: AuthorityFiles, nowMs: number): IssuingMaterial {
  const roots = certificates(files.rootCertificates, 'root-cert.pem');
  const [issuing] = certificates(files.issuingCertificate, 'ca-cert.pem');
  if (issuing === undefined) throw new Error('ca-cert.pem: holds no certificate');
  const above = certificates(files.chain, 'cert-chain.pem').filter(
    (candidate) => !isSelfIssued(candidate) && !candidate.raw.equals(issuing.raw),
  );
  const privateKey = readKey(files.issuingKey);
  if (!issuing.checkPrivateKey(privateKey)) throw new Error('ca-key.pem: is not the key of ca-cert.pem');
  if (!issuing.ca) throw new Error('ca-cert.pem: is not the certificate of an authority (CA:TRUE is missing)');
  const intermediates = isSelfIssued(issuing) ? [] : [issuing, ...above];
  const anchors = checkChain([issuing, ...above], roots, nowMs);
  // Of several roots that vouch for it, the one that does so longest.
  const anchorEndMs = Math.max(...anchors.map(endOf));
  return {
    issuer: {
      certificate: issuing.raw,
      privateKey,
      notAfterMs: Math.min(anchorEndMs, ...[issuing, ...above].map(endOf)),
    },
    intermediates: intermediates.map(({ raw }) => raw),
    roots: roots.map(({ raw }) => raw),
  };
}

/** Whether leaves of this authority are good for somebody who trusts these roots alone. */
export function isIssuedUnder(
  { issuer, intermediates }: ChainedCertificate,
  roots: readonly Buffer[],
  nowMs: number,
): boolean {
  const above = intermediates.filter((der) => !der.equals(issuer.certificate));
  const chain = [issuer.certificate, ...above].map((der) => new X509Certificate(der));
  try {
    checkChain(
      chain,
      roots.map((der) => new X509Certificate(der)),
      nowMs,
    );
    return true;
  } catch {
    return false;
  }
}

function certificates(pem: string, file: string): X509Certificate[] {
  try {
    const found = certificatesFromPem(pem).map((der) => new X509Certificate(der));
    if (found.length > 0) return found;
  } catch (error) {
    throw new Error(`${file}: cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  throw new Error(`${file}: holds no certificate`);
}

function readKey(pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    throw new Error('ca-key.pem: is not an unencrypted private key in PEM');
  }
}

/** Each certificate is signed by the next, the last by a root, and all are valid now. Returns the roots that signed the last. */
function checkChain(
  chain: readonly X509Certificate[],
  roots: readonly X509Certificate[],
  nowMs: number,
): readonly X509Certificate[] {
  let signers: readonly X509Certificate[] = [];
  chain.forEach((certificate, index) => {
    if (nowMs < certificate.validFromDate.getTime() || nowMs > certificate.validToDate.getTime()) {
      throw new Error(
        `cert-chain.pem: ${certificate.subject.replaceAll('\n', ', ')} is valid from ${certificate.validFrom} to ${certificate.validTo} only`,
      );
    }
    const issuers = index + 1 < chain.length ? chain.slice(index + 1, index + 2) : roots;
    signers = issuers.filter((issuer) => certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey));
    if (signers.length > 0) return;
    throw new Error(
      `cert-chain.pem: the issuer of ${certificate.subject.replaceAll('\n', ', ')} is neither next in the chain nor in root-cert.pem`,
    );
  });
  return signers;
}

function endOf(certificate: X509Certificate): number {
  return certificate.validToDate.getTime();
}

function isSelfIssued(certificate: X509Certificate): boolean {
  return certificate.subject === certificate.issuer && certificate.verify(certificate.publicKey);
}
