import type { KeyObject } from 'node:crypto';
import { ownCopy } from './own-copy.ts';
import { keyObjectOf, type PublicKeyFacts } from './public-key.ts';
import { type Certificate, readCertificate } from './read-certificate.ts';

/** Issuers that are remembered: a mesh has a few at a time; one more costs its verification again. */
export const MAX_KNOWN_ISSUERS = 64;
/** Keys of one issuer's own issuers: it may be signed by several roots. */
const MAX_SIGNERS = 8;

/** A key that may have signed something. */
export interface Signer {
  readonly subjectPublicKeyInfo: Buffer;
  readonly facts: PublicKeyFacts;
  readonly publicKey: KeyObject;
}

interface KnownIssuer {
  readonly certificate: Certificate;
  readonly signer: Signer;
  /** Keys that its signature was verified with; latin1 of their SubjectPublicKeyInfo. */
  readonly signedBy: Set<string>;
}

/**
 * Remembers of intermediates what never changes: what they say, their key, and whose signature they bear. All leaves of a mesh come with
 * the same few, so that a verification costs one signature in place of two. Only those of accepted paths are taken: nobody
 * can fill it with others. Whether they are valid, trusted or revoked is asked anew each time.
 */
export class IssuerMemory {
  /** By latin1 of the DER; the first to be forgotten stands first. */
  readonly #issuers = new Map<string, KnownIssuer>();
  readonly #byCertificate = new WeakMap<Certificate, KnownIssuer>();

  /** Throws DerError. */
  read(der: Buffer): Certificate {
    return this.#issuers.get(der.toString('latin1'))?.certificate ?? readCertificate(der);
  }

  /** Throws DerError where the key is none. */
  signerOf(certificate: Certificate): Signer {
    return this.#byCertificate.get(certificate)?.signer ?? signerOf(certificate);
  }

  wasSignedBy(certificate: Certificate, { subjectPublicKeyInfo }: Signer): boolean {
    return this.#byCertificate.get(certificate)?.signedBy.has(subjectPublicKeyInfo.toString('latin1')) === true;
  }

  /** `signer`: whose signature of the certificate was verified. Returns the one that is kept: of the same bytes, and of one memory for all. */
  remember(certificate: Certificate, signer: Signer): Certificate {
    const known = this.#byCertificate.get(certificate) ?? this.#add(certificate);
    if (known.signedBy.size < MAX_SIGNERS) known.signedBy.add(signer.subjectPublicKeyInfo.toString('latin1'));
    return known.certificate;
  }

  #add({ der }: Certificate): KnownIssuer {
    const certificate = readCertificate(ownCopy(der));
    const known = { certificate, signer: signerOf(certificate), signedBy: new Set<string>() };
    if (this.#issuers.size >= MAX_KNOWN_ISSUERS) this.#forgetOldest();
    this.#issuers.set(der.toString('latin1'), known);
    this.#byCertificate.set(certificate, known);
    return known;
  }

  #forgetOldest(): void {
    for (const [key, { certificate }] of this.#issuers) {
      this.#issuers.delete(key);
      this.#byCertificate.delete(certificate);
      return;
    }
  }
}

/** Throws DerError where the key is none. */
export function signerOf({ subjectPublicKeyInfo, key }: Certificate): Signer {
  const publicKey = keyObjectOf(subjectPublicKeyInfo);
  return { subjectPublicKeyInfo, facts: key, publicKey };
}
