/** What Go's net/url takes for a path that is well written, and sends on as it is. */
const WELL_WRITTEN = /^(?:[A-Za-z0-9\-_.~$&+,/:;=@!'()*[\]]|%[0-9A-Fa-f]{2})*$/;
/** Bytes that it escapes once it has to write a path anew. */
const ESCAPED = /[^A-Za-z0-9\-_.~$&+,/:;=@]/g;
const BROKEN_ESCAPE = /%(?![0-9A-Fa-f]{2})/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what it looks for
const CONTROL = /[\x00-\x1f\x7f]/;
/** What cannot stand in a request line. */
const UNSENDABLE = /[^\x21-\x7e]+/g;

/**
 * The request target of a probe's path as the kubelet writes it (Go's net/url): the fragment is left out, a path that is not
 * well written is escaped, one that cannot be read is taken for a path as a whole. A query goes as it is, but for what no
 * request line may hold, which the kubelet sends all the same.
 */
export function requestTarget(path: string): string {
  const [visible = ''] = path.split('#', 1);
  const end = visible.indexOf('?');
  const pathPart = end === -1 ? visible : visible.slice(0, end);
  if (BROKEN_ESCAPE.test(pathPart) || CONTROL.test(path)) return rooted(escaped(bytesOf(path)));
  const query = end === -1 ? '' : visible.slice(end).replace(UNSENDABLE, encodeURIComponent);
  return rooted(WELL_WRITTEN.test(pathPart) ? pathPart : escaped(unescaped(bytesOf(pathPart)))) + query;
}

function rooted(path: string): string {
  return path.startsWith('/') ? path : `/${path}`;
}

/** One character a byte. */
function bytesOf(text: string): string {
  return Buffer.from(text).toString('latin1');
}

function unescaped(bytes: string): string {
  return bytes.replace(/%([0-9A-Fa-f]{2})/g, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

function escaped(bytes: string): string {
  return bytes.replace(ESCAPED, (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
}
