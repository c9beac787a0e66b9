import { createPublicKey, X509Certificate } from 'node:crypto';
import { isRecord } from '../schema/schema.ts';
import { type Root, readRoot } from '../x509/root.ts';

/** Largest bundle that is read, as JWK set or PEM: the roots that are taken, twice over as text, and as much again of keys of other uses. */
export const MAX_BUNDLE_BYTES = 128 * 1024;
/** Roots of one trust domain, together: some 30 of RSA, or 60 of elliptic curves. All sidecars hold those of all domains. */
export const MAX_BUNDLE_ROOTS_BYTES = 32 * 1024;
/** Elements of a JWK set; those of other uses are passed over. */
const MAX_KEYS = 1_000;

/** SPIFFE Trust Domain and Bundle §4.2.2. */
const X509_USE = 'x509-svid';
/** Types whose members are held against the certificate; RFC 7518 §6, RFC 8037 §2. */
const KEY_TYPES: ReadonlySet<unknown> = new Set(['EC', 'RSA', 'OKP']);
/** Of 64 bits (§4.1.1), which JSON numbers of JavaScript are not. */
const MAX_DIGITS = 19;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;
const PEM_BLOCK = /-----BEGIN ([^-]+)-----([^-]*)-----END ([^-]+)-----/g;

/** What vouches for the X509-SVIDs of one trust domain. Which one that is, a bundle does not say. */
export interface SpiffeBundle {
  /** DER, at least one. */
  readonly roots: readonly Buffer[];
  /** Grows with each change; undefined: not told. */
  readonly sequence: bigint | undefined;
  /** How often its publisher wants to be asked; undefined: not told. */
  readonly refreshHintS: number | undefined;
}

/**
 * Reads a SPIFFE bundle (a JWK set; SPIFFE Trust Domain and Bundle §4) or certificates in PEM. Keys of other uses and types are passed
 * over, as §4.1.3 demands. Throws in one sentence that names the field, for anything that is not a root to believe.
 */
export function readSpiffeBundle(text: string): SpiffeBundle {
  const bytes = Buffer.byteLength(text);
  if (bytes > MAX_BUNDLE_BYTES) throw new Error(`a bundle of ${bytes} bytes exceeds the limit of ${MAX_BUNDLE_BYTES}`);
  const start = text.trimStart();
  if (start.startsWith('{')) return readJwkSet(text);
  if (start.includes('-----BEGIN ')) return { roots: rootsOfPem(text), sequence: undefined, refreshHintS: undefined };
  throw new Error('neither a SPIFFE bundle (a JWK set, which begins with {) nor certificates in PEM');
}

function readJwkSet(text: string): SpiffeBundle {
  const set = parseJson(text);
  if (!isRecord(set)) throw new Error('not a JWK set: expected an object');
  const { keys, spiffe_sequence: sequence, spiffe_refresh_hint: hint } = set;
  if (!Array.isArray(keys)) throw new Error('keys: missing, or not a list');
  if (keys.length > MAX_KEYS) throw new Error(`keys: ${keys.length} entries exceed the limit of ${MAX_KEYS}`);
  const reader = new RootReader();
  const roots = keys.flatMap((key: unknown, index) => rootOfKey(key, `keys[${index}]`, reader));
  if (roots.length === 0) throw new Error(`keys: none has the use ${X509_USE}`);
  return {
    roots: distinct(roots),
    sequence: wholeNumber(text, sequence, 'spiffe_sequence'),
    refreshHintS: seconds(text, hint, 'spiffe_refresh_hint'),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/**
 * What a number of JavaScript does not hold exactly is taken from the text, where its name must then stand once: to have every value
 * of the document revived for it takes ten times as long as to parse it.
 */
function wholeNumber(text: string, value: unknown, field: string): bigint | undefined {
  if (value === undefined) return undefined;
  if (Number.isSafeInteger(value) && Number(value) >= 0) return BigInt(Number(value));
  const written = [...text.matchAll(new RegExp(`"${field}"\\s*:\\s*(\\d{1,${MAX_DIGITS}})\\s*[,}]`, 'g'))];
  const [digits] = written.map(([, captured]) => captured);
  if (typeof value === 'number' && written.length === 1 && digits !== undefined) return BigInt(digits);
  throw new Error(`${field}: expected a whole number of at most ${MAX_DIGITS} digits`);
}

function seconds(text: string, value: unknown, field: string): number | undefined {
  const whole = wholeNumber(text, value, field);
  return whole === undefined ? undefined : Number(whole);
}

/** None where the key is of another type or use. */
function rootOfKey(key: unknown, at: string, reader: RootReader): readonly Buffer[] {
  if (!isRecord(key)) throw new Error(`${at}: expected an object`);
  if (typeof key.kty !== 'string') throw new Error(`${at}.kty: missing, or not a string`);
  if (typeof key.use !== 'string') throw new Error(`${at}.use: missing, or not a string`);
  if (key.use !== X509_USE || !KEY_TYPES.has(key.kty)) return [];
  const { x5c } = key;
  // X509-SVID §6.2: the certificate of the authority, and no chain
  if (!Array.isArray(x5c) || x5c.length !== 1) throw new Error(`${at}.x5c: expected a list of one certificate`);
  const { der, certificate } = reader.read(x5c[0], `${at}.x5c[0]`);
  if (!isOfKey(certificate.subjectPublicKeyInfo, key))
    throw new Error(`${at}: its key is not that of the certificate in x5c[0]`);
  return [der];
}

/** RFC 7517 §4.7: the key's own members, where they are there, are those of the certificate. */
function isOfKey(subjectPublicKeyInfo: Buffer, key: { readonly [member: string]: unknown }): boolean {
  const members = Object.entries(key).filter(([name]) => ['kty', 'crv', 'x', 'y', 'n', 'e'].includes(name));
  if (members.every(([name]) => name === 'kty' || name === 'crv')) return true;
  try {
    const jwk = Object.fromEntries(members.map(([name, value]) => [name, String(value)]));
    const publicKey = createPublicKey({ key: subjectPublicKeyInfo, format: 'der', type: 'spki' });
    return createPublicKey({ key: jwk, format: 'jwk' }).equals(publicKey);
  } catch {
    return false;
  }
}

function rootsOfPem(text: string): readonly Buffer[] {
  const blocks = [...text.matchAll(PEM_BLOCK)];
  if (blocks.length !== text.split('-----BEGIN ').length - 1) throw new Error('a PEM block has no end');
  const reader = new RootReader();
  return distinct(
    blocks.map(([, begin, body = '', end], index) => {
      const at = `PEM block ${index + 1}`;
      if (begin !== 'CERTIFICATE' || end !== begin) throw new Error(`${at}: expected CERTIFICATE, got ${begin}`);
      return reader.read(body.replace(/\s/g, ''), at).der;
    }),
  );
}

/** Reads the roots of one bundle, and no more of them than are ever taken: each costs time of whoever asks for the bundle. */
class RootReader {
  #bytes = 0;

  /** What a sidecar will take for a root (`readRoot`); throws for anything else. */
  read(base64: unknown, at: string): Root {
    if (typeof base64 !== 'string' || !BASE64.test(base64) || base64.length % 4 !== 0) {
      throw new Error(`${at}: not base64`);
    }
    const der = Buffer.from(base64, 'base64');
    this.#bytes += der.length;
    if (this.#bytes > MAX_BUNDLE_ROOTS_BYTES) {
      throw new Error(`${at}: the roots up to here exceed the limit of ${MAX_BUNDLE_ROOTS_BYTES} bytes together`);
    }
    try {
      return readRoot(der);
    } catch (error) {
      throw new Error(`${at}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}

function distinct(roots: readonly Buffer[]): readonly Buffer[] {
  return [...new Map(roots.map((root) => [root.toString('base64'), root])).values()];
}

/** A SPIFFE bundle of these roots (DER), as a bundle endpoint serves it. */
export function spiffeBundleText(roots: readonly Buffer[], sequence: number, refreshHintS: number): string {
  const keys = roots.map((root) => {
    const { kty, ...members } = new X509Certificate(root).publicKey.export({ format: 'jwk' });
    return { kty, use: X509_USE, ...members, x5c: [root.toString('base64')] };
  });
  const set = { keys, spiffe_sequence: sequence, spiffe_refresh_hint: refreshHintS };
  return `${JSON.stringify(set, null, 2)}\n`;
}
