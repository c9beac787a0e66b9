import { type KeyObject, verify } from 'node:crypto';
import { TAG } from './der-reader.ts';
import type { PublicKeyFacts } from './public-key.ts';
import type { AlgorithmIdentifier, Certificate } from './read-certificate.ts';

interface Algorithm {
  readonly key: PublicKeyFacts['kind'];
  /** Null: the algorithm hashes by itself. */
  readonly hash: string | null;
  /** Whether NULL parameters may be there. */
  readonly mayHaveNull: boolean;
}

/**
 * What is accepted: ECDSA with SHA-2 (RFC 5758 §3.2), RSA PKCS #1 v1.5 with SHA-2 (RFC 4055 §5: NULL parameters, and none
 * are borne), Ed25519 (RFC 8410 §3).
 */
const ACCEPTED: { readonly [oid: string]: Algorithm } = {
  '1.2.840.10045.4.3.2': { key: 'ec', hash: 'sha256', mayHaveNull: false },
  '1.2.840.10045.4.3.3': { key: 'ec', hash: 'sha384', mayHaveNull: false },
  '1.2.840.10045.4.3.4': { key: 'ec', hash: 'sha512', mayHaveNull: false },
  '1.2.840.113549.1.1.11': { key: 'rsa', hash: 'sha256', mayHaveNull: true },
  '1.2.840.113549.1.1.12': { key: 'rsa', hash: 'sha384', mayHaveNull: true },
  '1.2.840.113549.1.1.13': { key: 'rsa', hash: 'sha512', mayHaveNull: true },
  '1.3.101.112': { key: 'ed25519', hash: null, mayHaveNull: false },
};
/** Names for the log. */
const REFUSED: { readonly [oid: string]: string } = {
  '1.2.840.10045.4.1': 'ECDSA with SHA-1',
  '1.2.840.10045.4.3.1': 'ECDSA with SHA-224',
  '1.2.840.113549.1.1.2': 'RSA with MD2',
  '1.2.840.113549.1.1.4': 'RSA with MD5',
  '1.2.840.113549.1.1.5': 'RSA with SHA-1',
  '1.2.840.113549.1.1.10': 'RSA-PSS',
  '1.2.840.113549.1.1.14': 'RSA with SHA-224',
};

/** Why signatures of this algorithm are not accepted, or undefined. */
export function algorithmComplaint({ oid, parameters }: AlgorithmIdentifier): string | undefined {
  const algorithm = ACCEPTED[oid];
  if (algorithm === undefined) return `it is signed by ${REFUSED[oid] ?? `the algorithm ${oid}`}`;
  const isFine = parameters === undefined || (parameters === TAG.null && algorithm.mayHaveNull);
  return isFine ? undefined : `its signature algorithm ${oid} has parameters that it does not have`;
}

/** True when the certificate's body was signed by the key; the algorithm has to be accepted and of the key's kind. */
export function isSignedBy(certificate: Certificate, key: KeyObject, facts: PublicKeyFacts): boolean {
  const algorithm = ACCEPTED[certificate.signatureAlgorithm.oid];
  if (algorithm === undefined || algorithm.key !== facts.kind) return false;
  return verify(algorithm.hash, certificate.body, key, certificate.signature);
}
