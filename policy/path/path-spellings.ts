/**
 * A path of a policy and its spelling on the wire, where that differs: characters beyond ASCII encoded, hex
 * digits in upper case. So a rule about `/café` sees `/caf%C3%A9`.
 */
export function pathSpellings(pattern: string): readonly string[] {
  const encoded = pattern
    .replace(/[^\0-\x7f]+/g, (text) => encodeURIComponent(text.toWellFormed()))
    .replace(/%[0-9a-f]{2}/gi, (encoding) => encoding.toUpperCase());
  const lower = encoded.replace(/%[0-9A-F]{2}/g, (encoding) => encoding.toLowerCase());
  return [...new Set([pattern, encoded, lower])];
}
