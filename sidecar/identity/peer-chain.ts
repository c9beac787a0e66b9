import type { X509Certificate } from 'node:crypto';
import { certificatesFromPem } from '#policy/x509/pem.ts';
import type { Credentials } from './credentials.ts';

/** Certificates of one handshake that are looked at; verification has a bound of its own, below this. */
const MAX_SENT_CERTIFICATES = 16;

/** Intermediates of the own chain, read once for each certificate. */
const ownIntermediates = new WeakMap<Credentials, readonly Buffer[]>();

/**
 * What a handshake brought: the leaf's hash (lower-case hex), and the chain, leaf first; DER. One that was resumed brings the leaf alone:
 * the authorities above it are then mostly those above the own certificate.
 */
export function chainOf(
  leaf: X509Certificate,
  own: Credentials,
): { readonly sha256: string; readonly chain: readonly Buffer[] } {
  const chain: Buffer[] = [];
  let certificate: X509Certificate | undefined = leaf;
  while (certificate !== undefined && chain.length < MAX_SENT_CERTIFICATES) {
    chain.push(certificate.raw);
    certificate = certificate.issuerCertificate;
  }
  if (chain.length === 1) chain.push(...intermediatesOf(own));
  return { sha256: leaf.fingerprint256.replaceAll(':', '').toLowerCase(), chain };
}

function intermediatesOf(own: Credentials): readonly Buffer[] {
  const known = ownIntermediates.get(own);
  if (known !== undefined) return known;
  const [, ...intermediates] = certificatesFromPem(own.certificateChainPem);
  ownIntermediates.set(own, intermediates);
  return intermediates;
}
