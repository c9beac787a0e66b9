import { isRecord } from '../schema/schema.ts';

/** Longest JWK set that is read. */
export const MAX_KEY_SET_BYTES = 1024 * 1024;
/** Most keys of one set. */
export const MAX_KEYS = 1_000;
/** Keys that one token is tried against: a token need not say by which key it was signed. */
export const MAX_TRIED_KEYS = 16;
/** Base64url characters of the modulus of RSA keys of 2,048 (RFC 7518 §3.3) and 8,192 bits, and of an exponent: larger ones cost too much. */
const MIN_MODULUS_CHARACTERS = 342;
const MAX_MODULUS_CHARACTERS = 1_366;
const MAX_EXPONENT_CHARACTERS = 6;

const RSA = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'];
const HMAC = ['HS256', 'HS384', 'HS512'];
/** Base64url characters of a secret that is as long as the shortest hash. Source: RFC 7518 §3.2. */
const MIN_SECRET_CHARACTERS = 43;
const BY_CURVE: { readonly [curve: string]: readonly string[] } = {
  'P-256': ['ES256'],
  'P-384': ['ES384'],
  'P-521': ['ES512'],
  Ed25519: ['EdDSA', 'Ed25519'],
};

/** All algorithms for which there can be a key; `none` is none of them. */
export const ALGORITHMS: ReadonlySet<string> = new Set([...RSA, ...HMAC, ...Object.values(BY_CURVE).flat()]);

/** A JSON Web Key (RFC 7517) that can judge signatures: the key, and never the token, says by which algorithms. */
export interface VerificationKey {
  /** `kid`. */
  readonly id: string | undefined;
  readonly algorithms: readonly string[];
  readonly jwk: { readonly [member: string]: unknown };
}

/** The keys of an issuer at one time. */
export class KeySet {
  readonly keys: readonly VerificationKey[];
  readonly #byId: ReadonlyMap<string | undefined, readonly VerificationKey[]>;

  constructor(keys: readonly VerificationKey[]) {
    this.keys = keys;
    this.#byId = Map.groupBy(keys, ({ id }) => id);
  }

  /**
   * Keys that may have signed a token with this header, at most MAX_TRIED_KEYS: those of its `kid` and those without any; all,
   * where it names none. Source: RFC 7515 §4.1.4.
   */
  candidates(algorithm: string, keyId: string | undefined): readonly VerificationKey[] {
    const named =
      keyId === undefined ? this.keys : [...(this.#byId.get(keyId) ?? []), ...(this.#byId.get(undefined) ?? [])];
    return named.filter(({ algorithms }) => algorithms.includes(algorithm)).slice(0, MAX_TRIED_KEYS);
  }
}

/**
 * Reads a JWK set; a text says what is wrong with it. Keys that are of no use here (encryption, other curves, too small or too
 * large) are left out (RFC 7517 §5). `secrets`: symmetric keys are taken too, which nobody may publish.
 */
export function readKeySet(text: string, { secrets }: { readonly secrets: boolean }): KeySet | string {
  if (text.length > MAX_KEY_SET_BYTES)
    return `${text.length} bytes of keys exceed the limit of ${MAX_KEY_SET_BYTES} bytes`;
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return 'the keys are not JSON';
  }
  const keys = isRecord(document) ? document.keys : undefined;
  if (!Array.isArray(keys)) return 'expected a JWK set: {"keys": [...]}';
  if (keys.length > MAX_KEYS) return `${keys.length} keys exceed the limit of ${MAX_KEYS}`;
  return new KeySet(keys.flatMap((jwk: unknown) => verificationKey(jwk, secrets) ?? []));
}

function verificationKey(jwk: unknown, secrets: boolean): VerificationKey | undefined {
  if (!isRecord(jwk)) return undefined;
  const { kid: id, use, key_ops: operations, alg } = jwk;
  if (id !== undefined && typeof id !== 'string') return undefined;
  if (use !== undefined && use !== 'sig') return undefined;
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) return undefined;
  const possible = algorithmsOf(jwk, secrets);
  const algorithms = alg === undefined ? possible : possible.filter((name) => name === alg);
  return algorithms.length === 0 ? undefined : { id, algorithms, jwk: publicPart(jwk) };
}

function algorithmsOf(jwk: { readonly [member: string]: unknown }, secrets: boolean): readonly string[] {
  const { kty, crv, n, e, k } = jwk;
  if (kty === 'RSA') {
    const isBounded =
      isText(n, MIN_MODULUS_CHARACTERS, MAX_MODULUS_CHARACTERS) && isText(e, 1, MAX_EXPONENT_CHARACTERS);
    return isBounded ? RSA : [];
  }
  if (kty === 'EC' || kty === 'OKP') {
    const names = typeof crv === 'string' && Object.hasOwn(BY_CURVE, crv) ? (BY_CURVE[crv] ?? []) : [];
    return (crv === 'Ed25519') === (kty === 'OKP') ? names : [];
  }
  return kty === 'oct' && secrets && typeof k === 'string' && k.length >= MIN_SECRET_CHARACTERS ? HMAC : [];
}

function isText(value: unknown, minLength: number, maxLength: number): boolean {
  return typeof value === 'string' && value.length >= minLength && value.length <= maxLength;
}

/** Without the private members that somebody published by mistake, and without what would narrow its use once more. */
function publicPart({ kty, crv, x, y, n, e, k }: { readonly [member: string]: unknown }): VerificationKey['jwk'] {
  return Object.fromEntries(Object.entries({ kty, crv, x, y, n, e, k }).filter(([, value]) => value !== undefined));
}
