import { CLASSES, TOKEN } from './character-classes.ts';

/** Fields that say something of the message's own shape. */
export type FieldRole =
  | 'connection'
  | 'content-length'
  | 'expect'
  | 'keep-alive'
  | 'transfer-encoding'
  /** `Content_Length`, `Transfer_Encoding`: programs that take `_` for `-` would read another end of the message. */
  | 'disguised-framing';

/** A token that was read before: the same few names and methods come again and again. */
export interface KnownWord {
  /** In its case; one string for all messages, so that look-ups by it need not hash it anew. */
  readonly text: string;
  readonly bytes: Uint8Array;
  readonly role: FieldRole | undefined;
  /** No lower-case letters, and not too long: RFC 9110 §9.1 as methods are written. */
  readonly isMethod: boolean;
}

/** Slots of the table; a word takes the place of the one it collides with. A power of two. */
const MAX_KNOWN_WORDS = 1_024;
/** Longer words are not kept. */
const MAX_KNOWN_WORD_BYTES = 64;
const MAX_METHOD_BYTES = 32;
const ROLES: ReadonlyMap<string, FieldRole> = new Map(
  (['connection', 'content-length', 'expect', 'keep-alive', 'transfer-encoding'] as const).map((role) => [role, role]),
);

const known: (KnownWord | undefined)[] = new Array(MAX_KNOWN_WORDS).fill(undefined);

/** The token that begins at `start` and goes on as far as its characters do; empty where there is none. */
export function wordAt(bytes: Buffer, start: number): KnownWord {
  let at = start;
  let hash = 0;
  let code = bytes[at] ?? 0;
  while (((CLASSES[code] ?? 0) & TOKEN) !== 0) {
    hash = (Math.imul(hash, 31) + code) | 0;
    code = bytes[++at] ?? 0;
  }
  const slot = (hash ^ (hash >>> 15)) & (MAX_KNOWN_WORDS - 1);
  const found = known[slot];
  if (found !== undefined && isAt(found.bytes, bytes, start, at)) return found;
  const word = learn(bytes, start, at);
  if (at - start <= MAX_KNOWN_WORD_BYTES) known[slot] = word;
  return word;
}

function isAt(word: Uint8Array, bytes: Buffer, start: number, end: number): boolean {
  if (word.length !== end - start) return false;
  for (let index = 0; index < word.length; index++) if (word[index] !== bytes[start + index]) return false;
  return true;
}

function learn(bytes: Buffer, start: number, end: number): KnownWord {
  const text = bytes.latin1Slice(start, end);
  const lower = text.toLowerCase();
  const dashed = ROLES.get(lower.replaceAll('_', '-'));
  const isFraming = dashed === 'content-length' || dashed === 'transfer-encoding';
  return {
    text,
    bytes: Uint8Array.from(bytes.subarray(start, end)),
    role: ROLES.get(lower) ?? (isFraming ? 'disguised-framing' : undefined),
    isMethod: text.length > 0 && text.length <= MAX_METHOD_BYTES && text === text.toUpperCase(),
  };
}
