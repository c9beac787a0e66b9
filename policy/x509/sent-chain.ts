import type { X509Certificate } from 'node:crypto';

/** Certificates of one handshake that are looked at; verification has a bound of its own, below this. */
const MAX_SENT_CERTIFICATES = 16;

/** The chain that a handshake brought, as Node tells it: leaf first; DER. Of one that was resumed, the leaf alone. */
export function sentChain(leaf: X509Certificate): readonly Buffer[] {
  const chain: Buffer[] = [];
  let certificate: X509Certificate | undefined = leaf;
  while (certificate !== undefined && chain.length < MAX_SENT_CERTIFICATES) {
    chain.push(certificate.raw);
    certificate = certificate.issuerCertificate;
  }
  return chain;
}

/** Of its DER; lower-case hex. */
export function sha256Of(certificate: X509Certificate): string {
  return certificate.fingerprint256.replaceAll(':', '').toLowerCase();
}
