/** Envoy's UNESCAPE_AND_FORWARD: encoded slashes and backslashes are decoded. */
export function unescapeSlashes(path: string): string {
  return path.includes('%') ? path.replace(/%2f/gi, '/').replace(/%5c/gi, '\\') : path;
}

/** Adjacent slashes become one; slashes alone, two, as in Envoy. */
export function mergeSlashes(path: string): string {
  if (/^\/{2,}$/.test(path)) return '//';
  return path.includes('//') ? path.replace(/\/{2,}/g, '/') : path;
}

/**
 * RFC 3986 §6.2.2 as Envoy's `normalize_path` does it: backslashes become slashes, characters that need no
 * encoding are decoded, those beyond ASCII and `"<>^`{|}` encoded, dot segments (plain or encoded) resolved. Undefined for an
 * encoded NUL, which Envoy refuses too.
 */
export function resolveBase(path: string): string | undefined {
  if (/%00/.test(path)) return undefined;
  if (!path.startsWith('/')) return path;
  const plain = decodeUnreserved(path.replaceAll('\\', '/')).replace(/[^\0-\x7f]+|["<>^`{|}]/g, (text) =>
    encodeBytes(text),
  );
  return plain.includes('/.') ? resolveDotSegments(plain) : plain;
}

/** RFC 3986 §6.2.2.2: characters that need no encoding are decoded; the result means the same to everybody. */
export function decodeUnreserved(path: string): string {
  if (!path.includes('%')) return path;
  return path.replace(/%(2[de]|3[0-9]|4[1-9a-f]|5[0-9af]|6[1-9a-f]|7[0-9ae])/gi, (encoding) =>
    String.fromCharCode(Number.parseInt(encoding.slice(1), 16)),
  );
}

/** RFC 3986 §5.2.4. */
function resolveDotSegments(path: string): string {
  const output: string[] = [];
  const segments = path.slice(1).split('/');
  for (const [index, segment] of segments.entries()) {
    const isDot = segment === '.' || segment === '..';
    if (segment === '..') output.pop();
    if (!isDot) output.push(segment);
    else if (index === segments.length - 1) output.push('');
  }
  return `/${output.join('/')}`;
}

/** Bytes as they came on the wire (one character a byte), or text. */
function encodeBytes(text: string): string {
  const isBytes = !/[^\0-\xff]/.test(text);
  const bytes = Buffer.from(text, isBytes ? 'latin1' : 'utf8');
  return [...bytes].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('');
}
