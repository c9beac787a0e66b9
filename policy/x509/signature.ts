import { type KeyObject, sign, verify } from 'node:crypto';
import { bits, bitsOf, childrenOf, type Der, encodeDer, nothing, oid, oidOf, sequence } from './der.ts';

/** RFC 5758 §3.2: ECDSA with SHA-2; RFC 4055 §5: RSA (keys of a plugged-in authority). */
const ECDSA_HASHES: { readonly [oid: string]: string } = {
  '1.2.840.10045.4.3.2': 'sha256',
  '1.2.840.10045.4.3.3': 'sha384',
  '1.2.840.10045.4.3.4': 'sha512',
};
const ECDSA_WITH_SHA256 = '1.2.840.10045.4.3.2';
const ECDSA_WITH_SHA384 = '1.2.840.10045.4.3.3';
const SHA256_WITH_RSA = '1.2.840.113549.1.1.11';

/** The AlgorithmIdentifier under which `key` signs; throws for a kind of key that has no place here. */
export function signatureAlgorithm(key: KeyObject): Der {
  if (key.asymmetricKeyType === 'rsa') return sequence(oid(SHA256_WITH_RSA), nothing());
  if (key.asymmetricKeyType !== 'ec') throw new Error(`a key of type ${key.asymmetricKeyType} cannot sign here`);
  return sequence(oid(hashOf(key) === 'sha384' ? ECDSA_WITH_SHA384 : ECDSA_WITH_SHA256));
}

/** `SEQUENCE { body, algorithm, signature }`: the form of certificates and CSRs alike. */
export function signed(body: Der, key: KeyObject): Buffer {
  const signature = sign(hashOf(key), encodeDer(body), key);
  return encodeDer(sequence(body, signatureAlgorithm(key), bits(signature)));
}

/** Verifies `SEQUENCE { body, algorithm, signature }` under an elliptic-curve key. */
export function isSignedBy(envelope: Der, publicKey: KeyObject): boolean {
  const [body, algorithm, signature] = childrenOf(envelope, 'signed structure');
  const hash = ECDSA_HASHES[oidOf(childrenOf(algorithm, 'signature algorithm')[0], 'signature algorithm')];
  if (body === undefined || hash === undefined) return false;
  return verify(hash, encodeDer(body), publicKey, bitsOf(signature, 'signature'));
}

/** A hash as strong as the curve. */
function hashOf(key: KeyObject): string {
  return key.asymmetricKeyDetails?.namedCurve === 'secp384r1' ? 'sha384' : 'sha256';
}
