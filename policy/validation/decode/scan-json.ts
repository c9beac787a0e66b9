import { MAX_JSON_DEPTH } from '../../resource/kinds/api-validation-policy.ts';
import { isWorkUsedUp, takeWork } from '../schema/work-budget.ts';

export interface JsonLimits {
  /** Deepest nesting; 1 is an array of plain values. At most MAX_JSON_DEPTH. */
  readonly maxDepth: number;
  readonly denyDuplicateKeys: boolean;
  /** Integers that a double does not hold. */
  readonly denyInexactIntegers: boolean;
}

/** What is wrong with a JSON text, and where: an index into the text. */
export interface JsonFault {
  readonly offset: number;
  readonly reason: string;
}

/**
 * Memory that the value of a text may take, by estimate: twenty million empty lists are 60 MB of text, and fill a thread's heap when they are parsed, which ends
 * the whole process.
 */
export const MAX_JSON_VALUE_BYTES = 256 * 1024 * 1024;
/** Of a list or an object, a text beside its characters, a number that is no small integer, and any value's place in what holds it. */
const CONTAINER_BYTES = 56;
const TEXT_BYTES = 32;
const DOUBLE_BYTES = 16;
const PLACE_BYTES = 8;

/** Up to so many keys of one object are compared in place; a Set takes over beyond, so that time stays linear. */
const KEYS_IN_PLACE = 16;

// Where the keys of the objects around the current position stand, by depth. Reused by every scan: a scan
// never yields, and this is the data path.
const isObjectAt = new Uint8Array(MAX_JSON_DEPTH + 1);
const keyCounts = new Uint32Array(MAX_JSON_DEPTH + 1);
const keyStarts = new Uint32Array((MAX_JSON_DEPTH + 1) * KEYS_IN_PLACE);
const keyEnds = new Uint32Array((MAX_JSON_DEPTH + 1) * KEYS_IN_PLACE);
const keySets: (Set<string> | undefined)[] = new Array(MAX_JSON_DEPTH + 1).fill(undefined);

/** What is read behind the last byte: of no JSON. */
const END = 0;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

const isSpace = new Uint8Array(256);
for (const code of [0x20, 0x0a, 0x0d, 0x09]) isSpace[code] = 1;

/** Of the bytes of a string, those that stand for themselves. */
const isPlain = new Uint8Array(256).fill(1, 0x20);
isPlain[QUOTE] = 0;
isPlain[BACKSLASH] = 0;

/**
 * Undefined when the text is one JSON value within the limits; else the first fault. Linear in the text's
 * length, without recursion. Keys are compared as their escapes decode: `"a"` and `"\u0061"` are one key.
 * `bytes`: the text in UTF-8, where it is there already.
 * Source: RFC 8259 §2 to §7; duplicate names are §4's "SHOULD be unique", on which parsers differ.
 */
export function scanJson(text: string, limits: JsonLimits, bytes: Buffer = Buffer.from(text)): JsonFault | undefined {
  const isAscii = text.length === bytes.length;
  const fault = scanBytes({ bytes, ascii: isAscii ? text : undefined }, limits);
  if (fault === undefined || isAscii) return fault;
  return { ...fault, offset: bytes.toString('utf8', 0, fault.offset).length };
}

interface Source {
  /** What is looked at: bytes take half the time of a string's characters. */
  readonly bytes: Buffer;
  /** The same as a string, of which pieces take less time than of bytes; undefined: its indices are others. */
  readonly ascii: string | undefined;
}

function scanBytes(source: Source, limits: JsonLimits): JsonFault | undefined {
  const text = source.bytes;
  let depth = 0;
  let valueBytes = 0;
  let at = skipSpace(text, 0);
  let expectsKey = false;
  for (;;) {
    if (expectsKey) {
      if (text[at] !== QUOTE) return unexpected(text, at, 'a key in double quotes');
      const plainEnd = endOfPlain(text, at + 1);
      const isEscaped = text[plainEnd] !== QUOTE;
      const end = isEscaped ? endOfString(text, plainEnd) : plainEnd + 1;
      if (end < 0) return stringFault(text, -end - 1);
      if (limits.denyDuplicateKeys && isDuplicate(source, at + 1, end - 1, isEscaped, depth)) {
        return fault(at, isWorkUsedUp() ? 'more keys than can be checked' : 'duplicate key');
      }
      at = skipSpace(text, end);
      if (text[at] !== COLON) return unexpected(text, at, '":"');
      at = skipSpace(text, at + 1);
    }
    if (valueBytes > MAX_JSON_VALUE_BYTES) return fault(at, 'more values than can be held');
    valueBytes += PLACE_BYTES;
    const first = text[at];
    if (first === OPEN_BRACE || first === OPEN_BRACKET) {
      if (++depth > limits.maxDepth) return fault(at, `nested deeper than limits.jsonDepth ${limits.maxDepth}`);
      valueBytes += CONTAINER_BYTES;
      const isObject = first === OPEN_BRACE;
      isObjectAt[depth] = isObject ? 1 : 0;
      keyCounts[depth] = 0;
      at = skipSpace(text, at + 1);
      if (text[at] !== (isObject ? CLOSE_BRACE : CLOSE_BRACKET)) {
        expectsKey = isObject;
        continue;
      }
    } else {
      const end = first === QUOTE ? endOfString(text, at + 1) : endOfScalar(text, at);
      if (end < 0) return first === QUOTE ? stringFault(text, -end - 1) : unexpected(text, -end - 1, 'a value');
      if (first !== QUOTE && end - at >= SHORTEST_NUMBER) {
        const reason = numberFault(source, at, end, limits);
        if (reason !== undefined) return fault(at, reason);
      }
      if (first === QUOTE) valueBytes += TEXT_BYTES + end - at;
      else if (!isSmallInteger(text, at, end)) valueBytes += DOUBLE_BYTES;
      at = end;
    }
    // A value is complete, or a container is about to close.
    for (;;) {
      at = skipSpace(text, at);
      if (depth === 0) return at === text.length ? undefined : unexpected(text, at, 'the end');
      const next = text[at];
      const isObject = isObjectAt[depth] === 1;
      if (next === COMMA) {
        at = skipSpace(text, at + 1);
        expectsKey = isObject;
        break;
      }
      if (next !== (isObject ? CLOSE_BRACE : CLOSE_BRACKET)) {
        return unexpected(text, at, isObject ? '"," or "}"' : '"," or "]"');
      }
      if (keySets[depth] !== undefined) keySets[depth] = undefined;
      depth -= 1;
      at += 1;
    }
  }
}

function skipSpace(text: Buffer, from: number): number {
  let at = from;
  while (isSpace[text[at] ?? END] === 1) at += 1;
  return at;
}

/** Index of the first byte that does not stand for itself. */
function endOfPlain(text: Buffer, start: number): number {
  let at = start;
  while (isPlain[text[at] ?? END] === 1) at += 1;
  return at;
}

/** Index after the closing quote, from within a string; negative: -1 - index of the fault. */
function endOfString(text: Buffer, start: number): number {
  let at = start;
  for (;;) {
    at = endOfPlain(text, at);
    if (text[at] === QUOTE) return at + 1;
    if (text[at] !== BACKSLASH) return -1 - at; // a control character, or the end of the text
    const length = escapeLength(text, at);
    if (length === 0) return -1 - at;
    at += length;
  }
}

/** Length of the escape sequence at a backslash; 0: not one. */
function escapeLength(text: Buffer, at: number): number {
  switch (text[at + 1]) {
    case QUOTE:
    case BACKSLASH:
    case 0x2f: // slash
    case 0x62: // b
    case 0x66: // f
    case 0x6e: // n
    case 0x72: // r
    case 0x74: // t
      return 2;
    case 0x75: // u
      for (let index = at + 2; index < at + 6; index++) if (!isHexDigit(text[index] ?? END)) return 0;
      return 6;
    default:
      return 0;
  }
}

function isHexDigit(code: number): boolean {
  return isDigit(code) || (code >= 0x41 && code <= 0x46) || (code >= 0x61 && code <= 0x66);
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

/** Index after a number or literal; negative: -1 - index of the fault. */
function endOfScalar(text: Buffer, start: number): number {
  switch (text[start]) {
    case 0x74:
      return endOfLiteral(text, start, TRUE);
    case 0x66:
      return endOfLiteral(text, start, FALSE);
    case 0x6e:
      return endOfLiteral(text, start, NULL);
    default:
      return endOfNumber(text, start);
  }
}

const TRUE = Buffer.from('true');
const FALSE = Buffer.from('false');
const NULL = Buffer.from('null');

function endOfLiteral(text: Buffer, start: number, literal: Buffer): number {
  for (let index = 0; index < literal.length; index++) if (text[start + index] !== literal[index]) return -1 - start;
  return start + literal.length;
}

/** RFC 8259 §6. */
function endOfNumber(text: Buffer, start: number): number {
  let at = text[start] === 0x2d ? start + 1 : start;
  at = text[at] === 0x30 ? at + 1 : digits(text, at);
  if (at < 0) return at;
  if (text[at] === 0x2e) at = digits(text, at + 1);
  if (at < 0) return at;
  const exponent = text[at];
  if (exponent !== 0x65 && exponent !== 0x45) return at;
  const sign = text[at + 1];
  return digits(text, sign === 0x2b || sign === 0x2d ? at + 2 : at + 1);
}

/** Index after at least one digit; negative: -1 - index of the fault. */
function digits(text: Buffer, start: number): number {
  let at = start;
  while (isDigit(text[at] ?? END)) at += 1;
  return at === start ? -1 - start : at;
}

/** Integers of so many characters are no objects of their own. */
const SMALL_CHARACTERS = 9;

function isSmallInteger(text: Buffer, start: number, end: number): boolean {
  if (end - start > SMALL_CHARACTERS) return false;
  for (let at = start + 1; at < end; at += 1) if (!isDigit(text[at] ?? END)) return false;
  return true;
}

/** `1e309`: no shorter number is beyond what a double holds. */
const SHORTEST_NUMBER = 5;
/** Integers of so many characters are exact. */
const EXACT_CHARACTERS = 15;
const INTEGER = /^-?\d+$/;

/** What makes programs read a number differently; undefined: nothing. Source: RFC 8259 §6. */
function numberFault(source: Source, start: number, end: number, limits: JsonLimits): string | undefined {
  const text = source.bytes;
  if ((text[start] ?? END) > 0x39) return undefined; // true, false
  const isLong = end - start > EXACT_CHARACTERS;
  if (!isLong && !hasExponent(text, start, end)) return undefined;
  const number = pieceOf(source, start, end);
  const value = Number(number);
  if (!Number.isFinite(value)) return 'a number beyond what programs hold (1.8e308)';
  const isExact = !isLong || Number.isSafeInteger(value) || !limits.denyInexactIntegers || !INTEGER.test(number);
  return isExact || BigInt(number) === BigInt(value) ? undefined : 'an integer that programs do not hold exactly';
}

function hasExponent(text: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at += 1) if (((text[at] ?? END) | 0x20) === 0x65) return true;
  return false;
}

/** Each key of an object costs so much beyond the first ones: whoever reads it makes a table of them. */
const KEY_WORK = 60;
const UNCOUNTED_KEYS = 1_000;

/** True when the object at this depth already has the key, or more of them than there is work for; else the key is remembered. */
function isDuplicate(source: Source, start: number, end: number, isEscaped: boolean, depth: number): boolean {
  const count = keyCounts[depth] ?? 0;
  const base = depth * KEYS_IN_PLACE;
  const set = keySets[depth];
  if (set === undefined && count < KEYS_IN_PLACE && !isEscaped) {
    for (let index = base; index < base + count; index++) {
      if (isSameText(source.bytes, keyStarts[index] ?? 0, keyEnds[index] ?? 0, start, end)) return true;
    }
    keyStarts[base + count] = start;
    keyEnds[base + count] = end;
    keyCounts[depth] = count + 1;
    return false;
  }
  const keys = set ?? keysSoFar(source, base, count);
  keySets[depth] = keys;
  const raw = pieceOf(source, start, end);
  const key: unknown = isEscaped ? JSON.parse(`"${raw}"`) : raw;
  const size = keys.size;
  if (size > UNCOUNTED_KEYS && !takeWork(KEY_WORK)) return true;
  keys.add(String(key));
  return keys.size === size;
}

function keysSoFar(source: Source, base: number, count: number): Set<string> {
  const keys = new Set<string>();
  for (let index = base; index < base + count; index++) {
    keys.add(pieceOf(source, keyStarts[index] ?? 0, keyEnds[index] ?? 0));
  }
  return keys;
}

function pieceOf({ bytes, ascii }: Source, start: number, end: number): string {
  return ascii === undefined ? bytes.toString('utf8', start, end) : ascii.slice(start, end);
}

function isSameText(text: Buffer, left: number, leftEnd: number, right: number, rightEnd: number): boolean {
  const length = leftEnd - left;
  if (length !== rightEnd - right) return false;
  // From the end: keys of one object tend to share their beginning.
  for (let offset = length - 1; offset >= 0; offset--) {
    if (text[left + offset] !== text[right + offset]) return false;
  }
  return true;
}

function stringFault(text: Buffer, at: number): JsonFault {
  if (at >= text.length) return fault(at, 'ends within a string');
  return fault(at, text[at] === BACKSLASH ? 'invalid escape in a string' : 'control character in a string');
}

function unexpected(text: Buffer, at: number, wanted: string): JsonFault {
  // The offending character is not shown: bodies do not go into logs.
  return fault(at, at >= text.length ? `ends where ${wanted} was expected` : `expected ${wanted}`);
}

/** Faults leave no key sets behind: they would hold on to the body. */
function fault(offset: number, reason: string): JsonFault {
  keySets.fill(undefined);
  return { offset, reason };
}
