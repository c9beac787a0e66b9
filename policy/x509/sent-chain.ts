import type { X509Certificate } from 'node:crypto';

/** Certificates of one handshake that are looked at; verification has a bound of its own, below this. */
const MAX_SENT_CERTIFICATES = 16;

/** What a handshake brought, as Node tells it. */
export interface SentChain {
  /** Of the leaf's DER; lower-case hex. */
  readonly sha256: string;
  /** Leaf first; DER. Of one that was resumed, the leaf alone. */
  readonly chain: readonly Buffer[];
}

export function sentChain(leaf: X509Certificate): SentChain {
  const chain: Buffer[] = [];
  let certificate: X509Certificate | undefined = leaf;
  while (certificate !== undefined && chain.length < MAX_SENT_CERTIFICATES) {
    chain.push(certificate.raw);
    certificate = certificate.issuerCertificate;
  }
  return { sha256: leaf.fingerprint256.replaceAll(':', '').toLowerCase(), chain };
}
