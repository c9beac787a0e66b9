import type { TokenCode } from '../error/token-codes.ts';
import { isRecord } from '../schema/schema.ts';
import type { RequestClaims } from '../workload-policy.ts';
import { ALGORITHMS, type KeySet } from './key-set.ts';
import { requestClaims } from './request-claims.ts';

/** Longest token, in characters. */
export const MAX_TOKEN_CHARACTERS = 32_768;

/** Why a token is refused: `reason` is for the operator, and never holds the token. */
export interface TokenRefusal {
  readonly code: TokenCode;
  readonly reason: string;
}

/** What a signed token (RFC 7519, in compact form) says of itself: true only once its signature is verified. */
export class JsonWebToken {
  readonly algorithm: string;
  readonly keyId: string | undefined;
  readonly issuer: string;
  readonly audiences: readonly string[];
  /** Seconds since the epoch; undefined: it does not say. */
  readonly expiresAt: number | undefined;
  readonly notBefore: number | undefined;
  readonly issuedAt: number | undefined;
  readonly payload: { readonly [claim: string]: unknown };
  /** The keys that verified it, as long as these are the issuer's. */
  verifiedBy: KeySet | undefined = undefined;
  #claims: RequestClaims | undefined;

  constructor(header: JoseHeader, payload: Payload) {
    this.algorithm = header.algorithm;
    this.keyId = header.keyId;
    this.issuer = payload.issuer;
    this.audiences = payload.audiences;
    this.expiresAt = payload.expiresAt;
    this.notBefore = payload.notBefore;
    this.issuedAt = payload.issuedAt;
    this.payload = payload.all;
  }

  /** What authorization sees of it. */
  get claims(): RequestClaims {
    this.#claims ??= requestClaims(this.payload);
    return this.#claims;
  }
}

/** Reads a token without believing it. */
export function readToken(text: string): JsonWebToken | TokenRefusal {
  if (text.length > MAX_TOKEN_CHARACTERS) {
    const reason = `a token of ${text.length} characters exceeds maxTokenCharacters ${MAX_TOKEN_CHARACTERS}`;
    return { code: 'jwt_too_large', reason };
  }
  const parts = text.split('.', 4);
  if (parts.length !== 3) return malformed('not three parts divided by dots (RFC 7515 §7.1)');
  const [first = '', second = '', signature = ''] = parts;
  const header = readHeader(first);
  if ('code' in header) return header;
  if (!BASE64URL.test(signature)) return malformed('the signature is not base64url');
  const payload = readPayload(second);
  return 'code' in payload ? payload : new JsonWebToken(header, payload);
}

/** The claims as they came, in base64url. */
export function payloadText(token: string): string {
  return token.slice(token.indexOf('.') + 1, token.lastIndexOf('.'));
}

interface JoseHeader {
  readonly algorithm: string;
  readonly keyId: string | undefined;
}

function readHeader(part: string): JoseHeader | TokenRefusal {
  const header = readJson(part);
  if (header === undefined) return malformed('the header is not a JSON object in base64url');
  const { alg, kid, crit } = header;
  // RFC 7515 §4.1.11: what is critical must be understood, and nothing that could be is
  if (crit !== undefined) return malformed('the header has critical extensions');
  if (typeof alg !== 'string') return malformed('the header names no algorithm');
  if (kid !== undefined && typeof kid !== 'string') return malformed('kid is not a string');
  if (!ALGORITHMS.has(alg))
    return { code: 'jwt_algorithm_refused', reason: `algorithm ${quoted(alg)} is not accepted` };
  return { algorithm: alg, keyId: kid };
}

interface Payload {
  readonly all: { readonly [claim: string]: unknown };
  readonly issuer: string;
  readonly audiences: readonly string[];
  readonly expiresAt: number | undefined;
  readonly notBefore: number | undefined;
  readonly issuedAt: number | undefined;
}

function readPayload(part: string): Payload | TokenRefusal {
  const all = readJson(part);
  if (all === undefined) return malformed('the payload is not a JSON object in base64url');
  const { iss: issuer = '', sub, aud = [], exp, nbf, iat } = all;
  if (typeof issuer !== 'string') return malformed('iss is not a string');
  if (sub !== undefined && typeof sub !== 'string') return malformed('sub is not a string');
  const audiences: unknown = typeof aud === 'string' ? [aud] : aud;
  if (!isTexts(audiences)) return malformed('aud is neither a string nor a list of strings');
  if (!isTime(exp)) return malformed('exp is not a number of seconds');
  if (!isTime(nbf)) return malformed('nbf is not a number of seconds');
  if (!isTime(iat)) return malformed('iat is not a number of seconds');
  return { all, issuer, audiences, expiresAt: exp, notBefore: nbf, issuedAt: iat };
}

const BASE64URL = /^[A-Za-z0-9_-]+$/;
const utf8 = new TextDecoder('utf-8', { fatal: true });

function readJson(part: string): { readonly [name: string]: unknown } | undefined {
  if (!BASE64URL.test(part)) return undefined;
  try {
    const value: unknown = JSON.parse(utf8.decode(Buffer.from(part, 'base64url')));
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string');
}

function isTime(value: unknown): value is number | undefined {
  return value === undefined || (typeof value === 'number' && Number.isFinite(value) && value >= 0);
}

function malformed(reason: string): TokenRefusal {
  return { code: 'jwt_malformed', reason };
}

/** Longest excerpt of what a token says in a reason: it is anybody's text until it is verified. */
const MAX_QUOTED_LENGTH = 200;

export function quoted(text: string): string {
  return JSON.stringify(text.length > MAX_QUOTED_LENGTH ? `${text.slice(0, MAX_QUOTED_LENGTH)}…` : text);
}
