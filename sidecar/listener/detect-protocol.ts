/** Longest first line that is waited for; the same as the longest header block of HTTP/1.1. */
export const MAX_FIRST_LINE_BYTES = 61_440;
/** Longest method, white space before it included; what is longer is not told apart byte by byte. */
const MAX_METHOD_BYTES = 256;

/** RFC 9113 §3.4: what a client of HTTP/2 with prior knowledge sends first. */
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const TLS_HANDSHAKE_RECORD = 0x16;
const TLS_MAJOR_VERSION = 0x03;
const LF = 0x0a;
const CR = 0x0d;

/** RFC 9110 §5.6.2: what a method is made of. */
const IS_TOKEN = Array.from({ length: 256 }, (_, byte) => /[!#$%&'*+.^_`|~0-9A-Za-z-]/.test(String.fromCharCode(byte)));

/** What lenient servers take for white space: theirs are libraries of text, e.g. Python's `str.split`. */
const BLANKS: ReadonlySet<number> = new Set([0x09, LF, 0x0b, 0x0c, CR, 0x1c, 0x1d, 0x1e, 0x1f, 0x20, 0x85, 0xa0]);

/** True: a TLS record with a handshake begins (RFC 8446 §5.1); undefined: not known yet. */
export function isTls(bytes: Buffer): boolean | undefined {
  if (bytes.length === 0) return undefined;
  if (bytes[0] !== TLS_HANDSHAKE_RECORD) return false;
  return bytes.length === 1 ? undefined : bytes[1] === TLS_MAJOR_VERSION;
}

/** True: the HTTP/2 preface; undefined: not known yet. */
export function isPreface(bytes: Buffer): boolean | undefined {
  const length = Math.min(bytes.length, PREFACE.length);
  if (bytes.compare(PREFACE, 0, length, 0, length) !== 0) return false;
  return length === PREFACE.length ? true : undefined;
}

/** `almost-http`: no valid request line, and yet some server might take it for one. */
export type Opening = 'http1' | 'http2' | 'almost-http' | 'other';

/**
 * What a connection speaks, by its first line; undefined: not known yet. Whatever a lenient server could read as HTTP
 * is HTTP here (white space before it, any case, tabs, a line ended by CR alone): bytes that pass as "other" are not
 * looked at again. So is a first line too long to wait for.
 */
export function openingOf(bytes: Buffer): Opening | undefined {
  const preface = isPreface(bytes);
  if (preface !== false) return preface === true ? 'http2' : undefined;
  const lead = bytes.subarray(0, MAX_METHOD_BYTES);
  const start = skip(lead, 0, isBlank);
  const methodEnd = skip(lead, start, isToken);
  const behind = lead[methodEnd];
  if (behind === undefined) return lead.length < MAX_METHOD_BYTES ? undefined : 'almost-http';
  if (methodEnd === start || behind === CR || behind === LF || !isBlank(behind)) return 'other';
  const end = lineEndOf(bytes, methodEnd);
  if (end === -1) return bytes.length > MAX_FIRST_LINE_BYTES ? 'almost-http' : undefined;
  const line = bytes.toString('latin1', start, end);
  if (start === 0 && / HTTP\/1\.[0-9]$/.test(line)) return 'http1';
  return /HTTP\/[0-9]/i.test(line) ? 'almost-http' : 'other';
}

/** Where CR or LF stands first; -1: nowhere. */
function lineEndOf(bytes: Buffer, from: number): number {
  const lf = bytes.indexOf(LF, from);
  const cr = (lf === -1 ? bytes : bytes.subarray(0, lf)).indexOf(CR, from);
  return cr === -1 ? lf : cr;
}

function isBlank(byte: number): boolean {
  return BLANKS.has(byte);
}

function isToken(byte: number): boolean {
  return IS_TOKEN[byte] === true;
}

/** The first position from `from` on where `isSkipped` is false; the length: there is none. */
function skip(bytes: Buffer, from: number, isSkipped: (byte: number) => boolean): number {
  let position = from;
  for (; position < bytes.length; position++) if (!isSkipped(bytes[position] ?? 0)) break;
  return position;
}
