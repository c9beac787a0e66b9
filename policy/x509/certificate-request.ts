import { createPublicKey, type KeyObject } from 'node:crypto';
import {
  bytesOf,
  childrenOf,
  type Der,
  decodeDer,
  encodeDer,
  integer,
  isInteger,
  isTagged,
  oidOf,
  sequence,
  tagged,
} from './der.ts';
import { SUBJECT_ALT_NAME, URI_NAME } from './extensions.ts';
import { EMPTY_NAME } from './names.ts';
import { isSignedBy, signed } from './signature.ts';

/** Largest CSR that is read; one of P-384 with every usual attribute is below 1 KiB. */
export const MAX_CSR_BYTES = 8 * 1024;

/** PKCS#9 extensionRequest (RFC 2985 §5.4.2): the extensions that a request asks for. */
const EXTENSION_REQUEST = '1.2.840.113549.1.9.14';

/**
 * How the SubjectPublicKeyInfo of an accepted key begins, and its length: id-ecPublicKey, the curve by its name, an uncompressed
 * point (RFC 5480 §2.1.1, §2.2). Explicit parameters, which could describe any curve, begin otherwise.
 */
const ACCEPTED_KEYS = [
  { begin: Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex'), bytes: 91 }, // P-256
  { begin: Buffer.from('3076301006072a8648ce3d020106052b8104002203620004', 'hex'), bytes: 120 }, // P-384
] as const;

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
  | {
      readonly kind: 'valid';
      /** DER, as it came: an uncompressed point of a named curve. */
      readonly subjectPublicKeyInfo: Buffer;
      /** The URIs that it asks to be named by. Nothing is issued for what is asked; who asks for another's name is found out. */
      readonly requestedUris: readonly string[];
    }
  | {
      readonly kind: 'invalid';
      readonly code: 'csr_malformed' | 'csr_signature_invalid' | 'csr_key_not_accepted';
      readonly reason: string;
    };

/**
 * Takes the public key (P-256 or P-384, DER) out of a CSR whose own signature verifies, and the URIs that it asks for; the rest is
 * ignored. Never throws.
 */
export function readCertificateRequest(csr: Buffer): CertificateRequestResult {
  if (csr.length > MAX_CSR_BYTES) {
    return invalid('csr_malformed', `${csr.length} bytes exceed the limit of ${MAX_CSR_BYTES}`);
  }
  try {
    const envelope = decodeDer(csr);
    const [body, , signature, ...excess] = childrenOf(envelope, 'request');
    const [version, subject, keyInfo, attributes, ...others] = childrenOf(body, 'request body');
    const isWhole = signature !== undefined && excess.length === 0 && others.length === 0;
    if (!isWhole || subject === undefined || keyInfo === undefined || !isVersion1(version)) {
      return invalid('csr_malformed', 'is not of the form of PKCS#10 (RFC 2986 §4)');
    }
    const subjectPublicKeyInfo = encodeDer(keyInfo);
    const publicKey = acceptedKey(subjectPublicKeyInfo);
    if (publicKey === undefined) {
      return invalid('csr_key_not_accepted', 'its key is not an uncompressed point of the named curve P-256 or P-384');
    }
    if (!isSignedBy(envelope, publicKey)) {
      return invalid('csr_signature_invalid', 'its signature does not verify under its own key');
    }
    return { kind: 'valid', subjectPublicKeyInfo, requestedUris: requestedUris(attributes) };
  } catch (error) {
    return invalid('csr_malformed', `cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function isVersion1(version: Der | undefined): boolean {
  return isInteger(version) && bytesOf(version, 'version').equals(Buffer.of(0));
}

function acceptedKey(subjectPublicKeyInfo: Buffer): KeyObject | undefined {
  const isAccepted = ACCEPTED_KEYS.some(
    ({ begin, bytes }) =>
      subjectPublicKeyInfo.length === bytes && subjectPublicKeyInfo.subarray(0, begin.length).equals(begin),
  );
  if (!isAccepted) return undefined;
  try {
    return createPublicKey({ key: subjectPublicKeyInfo, format: 'der', type: 'spki' });
  } catch {
    return undefined; // no point of the curve
  }
}

/** Throws where extensions are asked for that cannot be read. */
function requestedUris(attributes: Der | undefined): string[] {
  if (attributes === undefined) return [];
  if (!isTagged(attributes, 0)) throw new Error('attributes: expected [0]');
  return childrenOf(attributes, 'attributes').flatMap((attribute) => {
    const [type, values] = childrenOf(attribute, 'attribute');
    if (oidOf(type, 'attribute') !== EXTENSION_REQUEST) return [];
    return childrenOf(values, 'extension request').flatMap((extensions) =>
      childrenOf(extensions, 'extensions').flatMap(urisOfExtension),
    );
  });
}

function urisOfExtension(extension: Der): string[] {
  const parts = childrenOf(extension, 'extension');
  if (oidOf(parts[0], 'extension') !== SUBJECT_ALT_NAME) return [];
  const names = decodeDer(bytesOf(parts.at(-1), 'subject alternative name'));
  return childrenOf(names, 'subject alternative name')
    .filter((name) => isTagged(name, URI_NAME))
    .map((name) => bytesOf(name, 'URI').toString('latin1'));
}

function invalid(
  code: Extract<CertificateRequestResult, { readonly kind: 'invalid' }>['code'],
  reason: string,
): CertificateRequestResult {
  return { kind: 'invalid', code, reason: `certificate request ${reason}` };
}
