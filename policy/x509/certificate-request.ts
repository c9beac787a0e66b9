import { createPublicKey, type KeyObject } from 'node:crypto';
import { childrenOf, decodeDer, encodeDer, integer, sequence, tagged } from './der.ts';
import { EMPTY_NAME } from './names.ts';
import { isSignedBy, signed } from './signature.ts';

/** Largest CSR that is read; one of P-384 with every usual attribute is below 1 KiB. */
export const MAX_CSR_BYTES = 8 * 1024;

/** Curves that identities may use, and the length of their SubjectPublicKeyInfo with an uncompressed point. */
const SPKI_BYTES: { readonly [curve: string]: number } = { prime256v1: 91, secp384r1: 120 };

/**
 * A PKCS#10 request (RFC 2986) for the key pair, DER: no subject and no attributes, for the authority takes
 * nothing but the public key from it.
 */
export function createCertificateRequest(publicKey: KeyObject, privateKey: KeyObject): Buffer {
  const subjectPublicKeyInfo = publicKey.export({ type: 'spki', format: 'der' });
  const body = sequence(integer(Buffer.of(0)), EMPTY_NAME, decodeDer(subjectPublicKeyInfo), tagged(0));
  return signed(body, privateKey);
}

export type CertificateRequestResult =
  | { readonly kind: 'valid'; readonly subjectPublicKeyInfo: Buffer }
  | { readonly kind: 'invalid'; readonly reason: string };

/** Takes the public key (P-256 or P-384, DER) out of a CSR whose own signature verifies; the rest is ignored. */
export function readCertificateRequest(csr: Buffer): CertificateRequestResult {
  if (csr.length > MAX_CSR_BYTES) return invalid(`${csr.length} bytes exceed the limit of ${MAX_CSR_BYTES}`);
  try {
    const envelope = decodeDer(csr);
    const [body] = childrenOf(envelope, 'request');
    const [, , keyInfo] = childrenOf(body, 'request body');
    if (keyInfo === undefined) return invalid('has no public key');
    const publicKey = createPublicKey({ key: encodeDer(keyInfo), format: 'der', type: 'spki' });
    const curve = publicKey.asymmetricKeyType === 'ec' ? publicKey.asymmetricKeyDetails?.namedCurve : undefined;
    const expectedBytes = curve === undefined ? undefined : SPKI_BYTES[curve];
    if (expectedBytes === undefined) return invalid('its key is not of curve P-256 or P-384');
    if (!isSignedBy(envelope, publicKey)) return invalid('its signature does not verify under its own key');
    // Exported anew: explicit curve parameters or a compressed point do not get into a certificate.
    const subjectPublicKeyInfo = publicKey.export({ type: 'spki', format: 'der' });
    if (subjectPublicKeyInfo.length !== expectedBytes)
      return invalid('its key is not an uncompressed point of a named curve');
    return { kind: 'valid', subjectPublicKeyInfo };
  } catch (error) {
    return invalid(`cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function invalid(reason: string): CertificateRequestResult {
  return { kind: 'invalid', reason: `certificate request ${reason}` };
}
