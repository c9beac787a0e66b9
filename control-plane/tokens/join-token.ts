import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

/** A join token as its holder sees it: `lateral.ID.SECRET`. */
export interface JoinToken {
  /** Names the record; not secret. */
  readonly id: string;
  /** 256 bits, base64url. Only its hash is stored. */
  readonly secret: string;
}

const PREFIX = 'lateral';
const ID_BYTES = 16;
const SECRET_BYTES = 32;
const ID = /^[0-9a-f]{32}$/;
const TOKEN = /^lateral\.([0-9a-f]{32})\.([A-Za-z0-9_-]{43})$/;

export function createJoinToken(): JoinToken {
  return { id: randomBytes(ID_BYTES).toString('hex'), secret: randomBytes(SECRET_BYTES).toString('base64url') };
}

export function formatJoinToken(token: JoinToken): string {
  return `${PREFIX}.${token.id}.${token.secret}`;
}

/** Undefined when the text is not of a join token's form. */
export function parseJoinToken(text: string): JoinToken | undefined {
  const [, id, secret] = TOKEN.exec(text) ?? [];
  return id === undefined || secret === undefined ? undefined : { id, secret };
}

/** The ID, from itself or from the whole token; undefined: it is neither. */
export function identifierOf(idOrToken: string): string | undefined {
  const text = idOrToken.trim();
  return ID.test(text) ? text : parseJoinToken(text)?.id;
}

/** SHA-256, hex. The secret is random, so that a slow hash would add nothing. */
export function hashOfSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

/** Compares in a time that tells nothing about the hash. */
export function isSecretOf(hash: string, secret: string): boolean {
  const expected = Buffer.from(hash, 'hex');
  const given = Buffer.from(hashOfSecret(secret), 'hex');
  return expected.length === given.length && timingSafeEqual(expected, given);
}
