import { type Signer, signerOf } from './issuer-memory.ts';
import { type Certificate, readCertificate } from './read-certificate.ts';

/**
 * A trust anchor (RFC 5280 §6.1.1 d): its name and key vouch, within its validity and its constraints; its own signature
 * says nothing.
 */
export interface Root {
  readonly der: Buffer;
  readonly subject: Buffer;
  readonly signer: Signer;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly certificate: Certificate;
}

/** Reads a root; throws where it is no certificate, or one that is no authority's: that could vouch for nobody. */
export function readRoot(der: Buffer): Root {
  const certificate = readCertificate(der);
  const { subject, notBeforeMs, notAfterMs, extensions } = certificate;
  if (!extensions.isAuthority) throw new Error('the certificate is not an authority (basicConstraints: cA)');
  if (subject.length === 2) throw new Error('the certificate names no subject, so nothing can name it as its issuer');
  return { der, subject, signer: signerOf(certificate), notBeforeMs, notAfterMs, certificate };
}
