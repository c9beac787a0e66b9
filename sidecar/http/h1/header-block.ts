import { CLASSES, CR, DIGIT, LF, SPACE, TAB, VALUE } from './character-classes.ts';
import type { LineBlock } from './head-collector.ts';
import { type KnownWord, wordAt } from './known-word.ts';
import { ambiguous, ProtocolError } from './protocol-error.ts';

/** What a header block says of the message's own shape; the rest of it is nobody's business here. */
export interface HeaderBlock {
  /** `[name, value, …]` in order and case. */
  readonly headers: string[];
  /** Content-Length; undefined: none. */
  contentLength: number | undefined;
  /** Transfer-Encoding: chunked. */
  isChunked: boolean;
  /** Connection has `close`. */
  isClose: boolean;
  /** Connection has `keep-alive`. */
  isKeepAlive: boolean;
  /** Connection has `upgrade`. */
  isUpgrade: boolean;
  /** Expect is `100-continue`. */
  expectsContinue: boolean;
  /** Keep-Alive: timeout=N, in seconds. */
  keepAliveSeconds: number | undefined;
}

/** Header fields of one message; more is 431. */
export const MAX_HEADER_FIELDS = 256;
/** Digits of a Content-Length: more cannot be counted exactly. */
const MAX_LENGTH_DIGITS = 15;
/** Longest part of a name that is shown in a reason. */
const MAX_SHOWN = 60;
const COLON = 0x3a;
const ZERO = 0x30;

/**
 * Reads the field lines of `block` from `position` to its end; each ends in CRLF. Refuses what RFC 9112 §5 and §6
 * refuse: whitespace before the colon, obs-fold, bare line ends, lengths that are signed, repeated or beside
 * Transfer-Encoding, codings other than chunked.
 */
export function readHeaderBlock(block: LineBlock, position: number): HeaderBlock {
  const { bytes, end, text, start: base } = block;
  const headers: string[] = [];
  const read: HeaderBlock = {
    headers,
    contentLength: undefined,
    isChunked: false,
    isClose: false,
    isKeepAlive: false,
    isUpgrade: false,
    expectsContinue: false,
    keepAliveSeconds: undefined,
  };
  let at = position;
  while (at < end) {
    const name = wordAt(bytes, at);
    const colon = at + name.text.length;
    if (bytes[colon] !== COLON || colon === at) throw nameComplaint(block, at);
    let from = colon + 1;
    while (isBlank(bytes[from])) from++;
    let lineEnd = from;
    while (((CLASSES[bytes[lineEnd] ?? 0] ?? 0) & VALUE) !== 0) lineEnd++;
    if (bytes[lineEnd] !== CR || bytes[lineEnd + 1] !== LF) throw characterComplaint(bytes, lineEnd);
    let to = lineEnd;
    while (to > from && isBlank(bytes[to - 1])) to--;
    const value = text.slice(from - base, to - base);
    if (headers.length >= MAX_HEADER_FIELDS * 2) {
      throw new ProtocolError(`more than maxHeaderFields ${MAX_HEADER_FIELDS}`, 'header_block_too_large');
    }
    headers.push(name.text, value);
    if (name.role !== undefined) takeShape(read, name, value);
    at = lineEnd + 2;
  }
  if (read.isChunked && read.contentLength !== undefined)
    throw ambiguous('Content-Length beside Transfer-Encoding (RFC 9112 §6.1)');
  return read;
}

function takeShape(read: HeaderBlock, name: KnownWord, value: string): void {
  switch (name.role) {
    case 'content-length':
      if (read.contentLength !== undefined) throw ambiguous('two Content-Length headers (RFC 9112 §6.3)');
      read.contentLength = lengthOf(value);
      return;
    case 'transfer-encoding':
      if (read.isChunked || !equals(value, 'chunked'))
        throw ambiguous('a Transfer-Encoding other than one chunked (RFC 9112 §6.1)');
      read.isChunked = true;
      return;
    case 'disguised-framing':
      throw ambiguous(`${name.text} can be taken for a framing header by programs that read "_" as "-"`);
    case 'connection':
      takeConnection(read, value);
      return;
    case 'keep-alive':
      read.keepAliveSeconds = keepAliveSecondsOf(value) ?? read.keepAliveSeconds;
      return;
    case 'expect':
      read.expectsContinue ||= equals(value, '100-continue');
      return;
  }
}

/** RFC 9110 §8.6: digits, nothing else. */
function lengthOf(value: string): number {
  let length = 0;
  for (let index = 0; index < value.length; index++) {
    const code = value.charCodeAt(index);
    if (((CLASSES[code] ?? 0) & DIGIT) === 0) throw lengthComplaint(value);
    length = length * 10 + code - ZERO;
  }
  if (value.length === 0 || value.length > MAX_LENGTH_DIGITS) throw lengthComplaint(value);
  return length;
}

function lengthComplaint(value: string): ProtocolError {
  const shown = JSON.stringify(value.slice(0, MAX_SHOWN));
  return ambiguous(`Content-Length ${shown} is not up to ${MAX_LENGTH_DIGITS} digits (RFC 9110 §8.6)`);
}

function takeConnection(read: HeaderBlock, value: string): void {
  const options = value.toLowerCase();
  if (options === 'keep-alive') read.isKeepAlive = true;
  else if (options === 'close') read.isClose = true;
  else {
    for (const option of options.split(',')) {
      const word = option.trim();
      if (word === 'close') read.isClose = true;
      else if (word === 'upgrade') read.isUpgrade = true;
      else if (word === 'keep-alive') read.isKeepAlive = true;
    }
  }
}

/** One server says the same in each of its answers. */
let lastKeepAlive = '';
let lastKeepAliveSeconds: number | undefined;

function keepAliveSecondsOf(value: string): number | undefined {
  if (value !== lastKeepAlive) {
    const seconds = /(?:^|[,;\s])timeout=(\d{1,6})/i.exec(value)?.[1];
    lastKeepAliveSeconds = seconds === undefined ? undefined : Number(seconds);
    lastKeepAlive = value;
  }
  return lastKeepAliveSeconds;
}

function nameComplaint(block: LineBlock, at: number): ProtocolError {
  const from = at - block.start;
  const line = block.text.slice(from, block.text.indexOf('\r\n', from));
  if (/^[ \t]/.test(line)) return ambiguous('a folded header line (RFC 9112 §5.2)');
  if (line.includes('\r')) return ambiguous('bare "\\r" in the header block (RFC 9112 §2.2)');
  const colon = line.indexOf(':');
  if (colon === -1) return ambiguous('a header line without a colon (RFC 9112 §5)');
  const name = line.slice(0, colon);
  if (/^[^ \t]+[ \t]+$/.test(name)) return ambiguous('whitespace before the colon of a header (RFC 9112 §5.1)');
  return new ProtocolError(`header name ${JSON.stringify(name.slice(0, MAX_SHOWN))} is not a token (RFC 9110 §5.6.2)`);
}

function characterComplaint(bytes: Buffer, at: number): ProtocolError {
  const shown = JSON.stringify(String.fromCharCode(bytes[at] ?? 0));
  if (bytes[at] === CR || bytes[at] === LF) return ambiguous(`bare ${shown} in the header block (RFC 9112 §2.2)`);
  return new ProtocolError(`character ${shown} in a header value (RFC 9110 §5.5)`);
}

function isBlank(code: number | undefined): boolean {
  return code === SPACE || code === TAB;
}

function equals(text: string, lower: string): boolean {
  return text === lower || (text.length === lower.length && text.toLowerCase() === lower);
}
