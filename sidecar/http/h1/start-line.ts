import { areAll, CLASSES, CR, DIGIT, LF, SPACE, TARGET, VALUE } from './character-classes.ts';
import type { LineBlock } from './head-collector.ts';
import { wordAt } from './known-word.ts';
import { ambiguous, ProtocolError } from './protocol-error.ts';

/** Longest part of a line that is shown in a reason. */
const MAX_SHOWN = 60;
/** What a query, a header that is no start line, or an authority may have behind it is not told. */
const SECRETS_BEHIND = /[?#:@=]/;
const VERSION = Buffer.from('HTTP/1.');
const ZERO = 0x30;
const ONE = 0x31;

export interface RequestLine {
  readonly method: string;
  readonly target: string;
  readonly version: '1.0' | '1.1';
  /** Where the field lines begin. */
  readonly next: number;
}

/** RFC 9112 §3: a token, one space, a target without spaces and controls, one space, the version. */
export function readRequestLine(block: LineBlock, start: number): RequestLine {
  const { bytes } = block;
  const method = wordAt(bytes, start);
  const targetStart = start + method.text.length + 1;
  let targetEnd = targetStart;
  while (((CLASSES[bytes[targetEnd] ?? 0] ?? 0) & TARGET) !== 0) targetEnd++;
  const end = targetEnd + 1 + VERSION.length + 1;
  const minor = bytes[end - 1];
  if (
    !method.isMethod ||
    bytes[targetStart - 1] !== SPACE ||
    targetEnd === targetStart ||
    bytes[targetEnd] !== SPACE ||
    !isVersion(bytes, targetEnd + 1) ||
    (minor !== ZERO && minor !== ONE) ||
    bytes[end] !== CR ||
    bytes[end + 1] !== LF
  )
    throw complaint('not a request line', block, start, 'RFC 9112 §3');
  if (method.text === 'CONNECT') throw new ProtocolError('CONNECT is not served');
  return {
    method: method.text,
    target: block.text.slice(targetStart - block.start, targetEnd - block.start),
    version: minor === ZERO ? '1.0' : '1.1',
    next: end + 2,
  };
}

export interface StatusLine {
  readonly status: number;
  readonly reason: string;
  readonly version: '1.0' | '1.1';
  readonly next: number;
}

/** RFC 9112 §4: version, one space, three digits, and a reason behind another space, or neither. */
export function readStatusLine(block: LineBlock): StatusLine {
  const { bytes, start } = block;
  const minor = bytes[start + VERSION.length];
  const statusStart = start + VERSION.length + 2;
  const statusEnd = statusStart + 3;
  const status = digit(bytes, statusStart) * 100 + digit(bytes, statusStart + 1) * 10 + digit(bytes, statusStart + 2);
  let end = statusEnd;
  if (bytes[end] === SPACE) while (((CLASSES[bytes[end] ?? 0] ?? 0) & VALUE) !== 0) end++;
  if (
    !isVersion(bytes, start) ||
    (minor !== ZERO && minor !== ONE) ||
    bytes[statusStart - 1] !== SPACE ||
    !areAll(bytes, statusStart, statusEnd, DIGIT) ||
    status < 100 ||
    bytes[end] !== CR ||
    bytes[end + 1] !== LF
  )
    throw complaint('not a status line', block, start, 'RFC 9112 §4');
  return {
    status,
    reason: end === statusEnd ? '' : block.text.slice(statusEnd + 1 - start, end - start),
    version: minor === ZERO ? '1.0' : '1.1',
    next: end + 2,
  };
}

function isVersion(bytes: Buffer, at: number): boolean {
  for (let index = 0; index < VERSION.length; index++) if (bytes[at + index] !== VERSION[index]) return false;
  return true;
}

function digit(bytes: Buffer, at: number): number {
  return (bytes[at] ?? 0) - ZERO;
}

function complaint(what: string, block: LineBlock, start: number, source: string): ProtocolError {
  const from = start - block.start;
  const end = block.text.indexOf('\r\n', from);
  const line = block.text.slice(from, end === -1 ? from : end);
  if (line.includes('\r')) return ambiguous('bare "\\r" in the start line (RFC 9112 §2.2)');
  const mark = line.search(SECRETS_BEHIND);
  const shown = mark === -1 ? line.slice(0, MAX_SHOWN) : `${line.slice(0, Math.min(mark + 1, MAX_SHOWN))}…`;
  return new ProtocolError(`${what}: ${JSON.stringify(shown)} (${source})`);
}
