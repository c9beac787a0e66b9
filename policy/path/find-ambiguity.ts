import { isUtf8 } from 'node:buffer';

const SLASH = 0x2f;
const DOT = 0x2e;

/** Dot, slash, backslash or NUL for whoever decodes once more than this sidecar. Other text may be encoded twice: a file's name, say. */
const ENCODED_TWICE = /%(25)+(2e|2f|5c|00)/i;

/**
 * Parameters of a segment: servers that know of them route `/admin;x` as `/admin`, and `/;x/admin` as `//admin`; others see names. One
 * kind is lawful, since it leaves nothing to hide behind: a last segment of parameters alone, as RFC 6570 and OpenAPI's `matrix`
 * write a value (`/orders/;id=5`).
 */
const PARAMETERS = /\/[^/;]+(;[^/]*)|\/(;[^/]*)\//;

/** Characters that call for a closer look: `%`, backslash, `#`, `?`, `;`, space and control characters. */
const IS_SUSPECT = new Uint8Array(128);
for (let code = 0; code < 128; code++) {
  IS_SUSPECT[code] = code <= 0x20 || code === 0x7f || '%\\#?;'.includes(String.fromCharCode(code)) ? 1 : 0;
}

/**
 * Why two programs could read two paths, or undefined; of a path whose needless encodings were decoded before.
 * A character that must be encoded and is not counts too. One scan without allocation where nothing suspect
 * is in it.
 */
export function ambiguityOf(path: string): string | undefined {
  let previous = 0;
  for (let index = 0; index < path.length; index++) {
    const code = path.charCodeAt(index);
    if (code >= 128 || IS_SUSPECT[code] === 1) return closerLook(path);
    if (previous === SLASH && (code === SLASH || code === DOT)) return closerLook(path);
    previous = code;
  }
  return path.charCodeAt(0) === SLASH || path === '*' ? undefined : 'the path does not begin with /';
}

function closerLook(path: string): string | undefined {
  if (path.charCodeAt(0) !== SLASH) return 'the path does not begin with /';
  if (path.includes('\\')) return 'the path has a backslash';
  if (path.includes('//')) return 'the path has an empty segment (//)';
  const twice = ENCODED_TWICE.exec(path)?.[0];
  if (twice !== undefined) return `the path has a double encoding (${twice})`;
  const bytes: number[] = [];
  for (let index = 0; index < path.length; index++) {
    const code = path.charCodeAt(index);
    if (code >= 128) return 'the path has a character beyond ASCII that is not percent-encoded';
    if (code <= 0x20 || code === 0x7f) return 'the path has a space or control character';
    if (code === 0x23 || code === 0x3f) return `the path has a ${String.fromCharCode(code)}`;
    if (code !== 0x25) {
      bytes.push(code);
      continue;
    }
    const encoding = path.slice(index, index + 3);
    const byte = Number.parseInt(encoding.slice(1), 16); // not broken: normalize-path.ts looked before it decoded
    const complaint = encodedComplaint(byte, encoding);
    if (complaint !== undefined) return complaint;
    bytes.push(byte);
    index += 2;
  }
  return dotSegmentComplaint(path) ?? parameterComplaint(path) ?? decodedComplaint(Buffer.from(bytes));
}

function encodedComplaint(byte: number, encoding: string): string | undefined {
  if (byte === SLASH) return `the path has an encoded slash (${encoding})`;
  if (byte === 0x5c) return `the path has an encoded backslash (${encoding})`;
  if (byte === 0) return 'the path has an encoded NUL (%00)';
  // what needs no encoding was decoded before: this one came of decoding itself
  if (/[A-Za-z0-9\-._~]/.test(String.fromCharCode(byte))) return `the path has an encoded encoding (${encoding})`;
  return undefined;
}

/** Encoded bytes must be UTF-8 in its shortest form, and `..%3B` is as good as `..;`. */
function decodedComplaint(bytes: Buffer): string | undefined {
  if (!isUtf8(bytes)) return 'the percent-encoded bytes of the path are not valid UTF-8';
  return dotSegmentComplaint(bytes.toString('latin1'));
}

function dotSegmentComplaint(path: string): string | undefined {
  const found = /\/(\.\.?)(;[^/]*)?(?=\/|$)/.exec(path);
  if (found === null) return undefined;
  return found[2] === undefined
    ? `the path has a dot segment (${found[1]})`
    : `the path has a dot segment (${found[1]};)`;
}

function parameterComplaint(path: string): string | undefined {
  const found = PARAMETERS.exec(path);
  return found === null ? undefined : `a segment of the path has parameters (${(found[1] ?? found[2])?.slice(0, 32)})`;
}
