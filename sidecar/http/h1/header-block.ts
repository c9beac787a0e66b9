import { ProtocolError } from './protocol-error.ts';

/** What a header block says of the message's own shape; the rest of it is nobody's business here. */
export interface HeaderBlock {
  /** `[name, value, …]` in order and case. */
  readonly headers: string[];
  /** Content-Length; undefined: none. */
  readonly contentLength: number | undefined;
  /** Transfer-Encoding: chunked. */
  readonly isChunked: boolean;
  /** Connection has `close`. */
  readonly isClose: boolean;
  /** Connection has `keep-alive`. */
  readonly isKeepAlive: boolean;
  /** Connection has `upgrade`. */
  readonly isUpgrade: boolean;
  /** Expect is `100-continue`. */
  readonly expectsContinue: boolean;
  /** Keep-Alive: timeout=N, in seconds. */
  readonly keepAliveSeconds: number | undefined;
}

/** RFC 9110 §5.5: field values are visible characters, spaces, tabs and obs-text; lines end in CRLF only. */
const FORBIDDEN = /[^\t\r\n\x20-\x7e\x80-\xff]|\r(?!\n)|(?<!\r)\n/;
/** RFC 9110 §5.6.2. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** Header fields of one message; more is 431. */
export const MAX_HEADER_FIELDS = 256;
/** Names that were checked once: the same few come again and again. */
const MAX_KNOWN_NAMES = 1_024;
const knownNames = new Set<string>();

const SPACE = 0x20;
const TAB = 0x09;

/** Refuses a block whose bytes no header block has (checked once for the whole of it). */
export function checkCharacters(text: string): void {
  const found = FORBIDDEN.exec(text);
  if (found === null) return;
  const shown = JSON.stringify(found[0]);
  throw new ProtocolError(
    found[0] === '\n' || found[0] === '\r'
      ? `bare ${shown} in the header block (RFC 9112 §2.2)`
      : `character ${shown} in the header block`,
  );
}

/**
 * Reads the field lines of `text` from `position` to its end; each ends in CRLF. Refuses what RFC 9112 §5 and §6
 * refuse: whitespace before the colon, obs-fold, lengths that are signed, repeated or beside
 * Transfer-Encoding, codings other than chunked.
 */
export function readHeaderBlock(text: string, position: number): HeaderBlock {
  const headers: string[] = [];
  let contentLength: number | undefined;
  let isChunked = false;
  let isClose = false;
  let isKeepAlive = false;
  let isUpgrade = false;
  let expectsContinue = false;
  let keepAliveSeconds: number | undefined;
  let start = position;
  while (start < text.length) {
    const end = text.indexOf('\r\n', start);
    const colon = text.indexOf(':', start);
    if (colon === -1 || colon > end) throw new ProtocolError('a header line without a colon (RFC 9112 §5)');
    const name = text.slice(start, colon);
    if (!isKnown(name)) throw new ProtocolError(nameComplaint(name));
    const value = trimmed(text, colon + 1, end);
    if (headers.length >= MAX_HEADER_FIELDS * 2) {
      throw new ProtocolError(`more than maxHeaderFields ${MAX_HEADER_FIELDS}`, 'header_block_too_large');
    }
    headers.push(name, value);
    start = end + 2;
    switch (name.length) {
      case 6:
        if (equals(name, 'expect')) expectsContinue = equals(value, '100-continue');
        break;
      case 10:
        if (equals(name, 'connection')) {
          const options = value.toLowerCase();
          if (options === 'keep-alive') isKeepAlive = true;
          else
            for (const option of options.split(',')) {
              const word = option.trim();
              if (word === 'close') isClose = true;
              else if (word === 'upgrade') isUpgrade = true;
              else if (word === 'keep-alive') isKeepAlive = true;
            }
        } else if (equals(name, 'keep-alive')) {
          const seconds = /(?:^|[,;\s])timeout=(\d{1,6})/i.exec(value)?.[1];
          if (seconds !== undefined) keepAliveSeconds = Number(seconds);
        }
        break;
      case 14:
        if (equals(name, 'content-length')) {
          if (contentLength !== undefined) throw new ProtocolError('two Content-Length headers (RFC 9112 §6.3)');
          if (!/^\d{1,15}$/.test(value))
            throw new ProtocolError(`Content-Length ${JSON.stringify(value)} is not a number (RFC 9110 §8.6)`);
          contentLength = Number(value);
        }
        break;
      case 17:
        if (equals(name, 'transfer-encoding')) {
          if (isChunked || !equals(value, 'chunked'))
            throw new ProtocolError('a Transfer-Encoding other than one chunked (RFC 9112 §6.1)');
          isChunked = true;
        }
        break;
    }
  }
  if (isChunked && contentLength !== undefined)
    throw new ProtocolError('Content-Length beside Transfer-Encoding (RFC 9112 §6.1)');
  return { headers, contentLength, isChunked, isClose, isKeepAlive, isUpgrade, expectsContinue, keepAliveSeconds };
}

function isKnown(name: string): boolean {
  if (knownNames.has(name)) return true;
  if (!TOKEN.test(name)) return false;
  if (knownNames.size < MAX_KNOWN_NAMES) knownNames.add(name);
  return true;
}

function nameComplaint(name: string): string {
  if (/^[ \t]/.test(name)) return 'a folded header line (RFC 9112 §5.2)';
  if (/[ \t]$/.test(name)) return 'whitespace before the colon of a header (RFC 9112 §5.1)';
  return `header name ${JSON.stringify(name.slice(0, 60))} is not a token (RFC 9110 §5.6.2)`;
}

/** Without leading and trailing spaces and tabs (OWS). */
function trimmed(text: string, start: number, end: number): string {
  let from = start;
  let to = end;
  while (from < to && isBlank(text.charCodeAt(from))) from++;
  while (to > from && isBlank(text.charCodeAt(to - 1))) to--;
  return text.slice(from, to);
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB;
}

function equals(text: string, lower: string): boolean {
  return text === lower || (text.length === lower.length && text.toLowerCase() === lower);
}
