import { type CryptoKey, compactVerify, importJWK } from 'jose';
import { type JsonWebToken, quoted, type TokenRefusal } from './json-web-token.ts';
import type { KeySet, VerificationKey } from './key-set.ts';

/** Undefined where one of the keys signed the token; which of them may have, and by which algorithm, the keys say. */
export async function verifySignature(
  token: JsonWebToken,
  text: string,
  keys: KeySet,
): Promise<TokenRefusal | undefined> {
  const { algorithm, keyId } = token;
  let isTried = false;
  for (const candidate of keys.candidates(algorithm, keyId)) {
    const key = await imported(candidate, algorithm);
    if (key === undefined) continue;
    isTried = true;
    const isGood = await compactVerify(text, key, { algorithms: [algorithm] }).then(
      () => true,
      () => false,
    );
    if (isGood) return undefined;
  }
  const asked = `kid ${keyId === undefined ? '(none)' : quoted(keyId)}, alg ${algorithm}`;
  return isTried
    ? { code: 'jwt_signature_invalid', reason: `not signed by the issuer's key for ${asked}` }
    : { code: 'jwt_key_unknown', reason: `none of the issuer's ${keys.keys.length} keys fits: ${asked}` };
}

type Imported = CryptoKey | Uint8Array | undefined;

/** By algorithm: WebCrypto binds a key to one. */
const importedKeys = new WeakMap<VerificationKey, Map<string, Promise<Imported>>>();

/** Undefined: the key is broken. Made once, at its first use: of a thousand keys few are ever asked for. */
function imported(key: VerificationKey, algorithm: string): Promise<Imported> {
  const ofKey = importedKeys.get(key) ?? new Map<string, Promise<Imported>>();
  importedKeys.set(key, ofKey);
  const known = ofKey.get(algorithm);
  if (known !== undefined) return known;
  const made = importJWK(key.jwk, algorithm).catch(() => undefined);
  ofKey.set(algorithm, made);
  return made;
}
