import { createPublicKey, type KeyObject } from 'node:crypto';
import { DerError, DerReader, TAG } from './der-reader.ts';

/** What a SubjectPublicKeyInfo says of its key (RFC 5280 §4.1.2.7). */
export type PublicKeyFacts =
  /** `curve`: its name; undefined: explicit parameters, or an unknown curve. */
  | { readonly kind: 'ec'; readonly curve: Curve | undefined }
  | { readonly kind: 'rsa'; readonly bits: number; readonly exponent: number }
  | { readonly kind: 'ed25519' }
  | { readonly kind: 'other'; readonly oid: string };

export type Curve = 'P-256' | 'P-384' | 'P-521';

const EC_PUBLIC_KEY = '1.2.840.10045.2.1';
const RSA_ENCRYPTION = '1.2.840.113549.1.1.1';
const ED25519 = '1.3.101.112';
/** RFC 5480 §2.1.1.1, and the length of a point that is not compressed (§2.2). */
const CURVES: { readonly [oid: string]: { readonly name: Curve; readonly pointBytes: number } } = {
  '1.2.840.10045.3.1.7': { name: 'P-256', pointBytes: 65 },
  '1.3.132.0.34': { name: 'P-384', pointBytes: 97 },
  '1.3.132.0.35': { name: 'P-521', pointBytes: 133 },
};
const UNCOMPRESSED = 0x04;
const ED25519_BYTES = 32;

export const MIN_RSA_BITS = 2048;
/** Above, a verification costs milliseconds, which whoever sends certificates could have at will. */
export const MAX_RSA_BITS = 8192;
/** As costly are large exponents; 65537 is what is in use. */
const MAX_RSA_EXPONENT_BYTES = 4;

/** Reads the key's kind and size. Throws DerError. */
export function readPublicKey(subjectPublicKeyInfo: Buffer): PublicKeyFacts {
  const outer = new DerReader(subjectPublicKeyInfo);
  const fields = outer.enter(TAG.sequence, 'public key');
  outer.end('public key');
  const algorithm = fields.enter(TAG.sequence, 'public key');
  const key = fields.wholeBits('public key');
  fields.end('public key');
  const oid = algorithm.oid('public key');
  if (oid === EC_PUBLIC_KEY) return ecKey(algorithm, key);
  if (oid === RSA_ENCRYPTION) return rsaKey(algorithm, key);
  if (oid !== ED25519) return { kind: 'other', oid };
  algorithm.end('public key'); // RFC 8410 §3: no parameters
  if (key.length !== ED25519_BYTES) algorithm.fail('public key: not of Ed25519');
  return { kind: 'ed25519' };
}

/** RFC 5480 §2.1.1: the curve by its name, never by parameters of one's own choice. */
function ecKey(algorithm: DerReader, key: Buffer): PublicKeyFacts {
  const curve = algorithm.isNext(TAG.oid) ? CURVES[algorithm.oid('public key')] : undefined;
  if (curve === undefined) return { kind: 'ec', curve: undefined };
  algorithm.end('public key');
  if (key.length !== curve.pointBytes || key[0] !== UNCOMPRESSED) {
    algorithm.fail(`public key: not an uncompressed point of ${curve.name}`);
  }
  return { kind: 'ec', curve: curve.name };
}

/** RFC 3279 §2.3.1: parameters NULL, modulus and exponent. */
function rsaKey(algorithm: DerReader, key: Buffer): PublicKeyFacts {
  algorithm.null('public key');
  algorithm.end('public key');
  const outer = new DerReader(key);
  const fields = outer.enter(TAG.sequence, 'RSA key');
  outer.end('RSA key');
  const modulus = fields.integer('modulus');
  const exponent = fields.integer('exponent');
  fields.end('RSA key');
  if ((modulus[0] ?? 0) >= 0x80 || (exponent[0] ?? 0) >= 0x80) fields.fail('RSA key: negative');
  return { kind: 'rsa', bits: bitsOf(modulus), exponent: numberOf(exponent) };
}

function bitsOf(integer: Buffer): number {
  const digits = integer[0] === 0 ? integer.subarray(1) : integer;
  return digits.length === 0 ? 0 : digits.length * 8 - Math.clz32(digits[0] ?? 0) + 24;
}

function numberOf(integer: Buffer): number {
  return integer.length > MAX_RSA_EXPONENT_BYTES ? Number.POSITIVE_INFINITY : integer.readUIntBE(0, integer.length);
}

/** Why such a key is not accepted, or undefined. Issuers may use P-521 too: their keys only verify. */
export function keyComplaint(key: PublicKeyFacts, isIssuer: boolean): string | undefined {
  switch (key.kind) {
    case 'ec':
      if (key.curve === undefined) return 'its elliptic curve is not P-256 or P-384 by name';
      return key.curve === 'P-521' && !isIssuer ? 'its curve is P-521; accepted are P-256 and P-384' : undefined;
    case 'rsa':
      if (key.bits < MIN_RSA_BITS) return `its RSA key has ${key.bits} bits; the least is ${MIN_RSA_BITS}`;
      if (key.bits > MAX_RSA_BITS) return `its RSA key has ${key.bits} bits; the most is ${MAX_RSA_BITS}`;
      // an even exponent has no inverse, 1 encrypts nothing
      return key.exponent < 3 || key.exponent % 2 === 0 || key.exponent === Number.POSITIVE_INFINITY
        ? 'its RSA exponent is not odd and of 2 to 32 bits'
        : undefined;
    case 'ed25519':
      return undefined;
    case 'other':
      return `its key is of algorithm ${key.oid}`;
  }
}

/** The key to verify with. Throws DerError where it is none, e.g. a point that is not on its curve. */
export function keyObjectOf(subjectPublicKeyInfo: Buffer): KeyObject {
  try {
    return createPublicKey({ key: subjectPublicKeyInfo, format: 'der', type: 'spki' });
  } catch (error) {
    throw new DerError(`public key: ${error instanceof Error ? error.message : error}`, 0);
  }
}
