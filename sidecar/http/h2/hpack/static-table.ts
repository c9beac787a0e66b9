/** Entries of the static table (RFC 7541 Appendix A); the newest dynamic entry has the index after them. */
export const STATIC_ENTRIES = 61;

/** RFC 7541 Appendix A, by index; names that have several values are spelled out once each. */
const ENTRIES: readonly (readonly [name: string, values: readonly string[]])[] = [
  [':authority', ['']],
  [':method', ['GET', 'POST']],
  [':path', ['/', '/index.html']],
  [':scheme', ['http', 'https']],
  [':status', ['200', '204', '206', '304', '400', '404', '500']],
  ['accept-charset', ['']],
  ['accept-encoding', ['gzip, deflate']],
  ['accept-language', ['']],
  ['accept-ranges', ['']],
  ['accept', ['']],
  ['access-control-allow-origin', ['']],
  ['age', ['']],
  ['allow', ['']],
  ['authorization', ['']],
  ['cache-control', ['']],
  ['content-disposition', ['']],
  ['content-encoding', ['']],
  ['content-language', ['']],
  ['content-length', ['']],
  ['content-location', ['']],
  ['content-range', ['']],
  ['content-type', ['']],
  ['cookie', ['']],
  ['date', ['']],
  ['etag', ['']],
  ['expect', ['']],
  ['expires', ['']],
  ['from', ['']],
  ['host', ['']],
  ['if-match', ['']],
  ['if-modified-since', ['']],
  ['if-none-match', ['']],
  ['if-range', ['']],
  ['if-unmodified-since', ['']],
  ['last-modified', ['']],
  ['link', ['']],
  ['location', ['']],
  ['max-forwards', ['']],
  ['proxy-authenticate', ['']],
  ['proxy-authorization', ['']],
  ['range', ['']],
  ['referer', ['']],
  ['refresh', ['']],
  ['retry-after', ['']],
  ['server', ['']],
  ['set-cookie', ['']],
  ['strict-transport-security', ['']],
  ['transfer-encoding', ['']],
  ['user-agent', ['']],
  ['vary', ['']],
  ['via', ['']],
  ['www-authenticate', ['']],
];

/** A name of the static table; its values have the indices from `index` on. */
export interface StaticName {
  readonly name: string;
  readonly index: number;
  readonly values: readonly string[];
}

/** Names by index; index 0 is none (RFC 7541 §6.1). */
export const STATIC_NAMES: readonly string[] = ['', ...ENTRIES.flatMap(([name, values]) => values.map(() => name))];
/** Values by index. */
export const STATIC_VALUES: readonly string[] = ['', ...ENTRIES.flatMap(([, values]) => values)];
/** What the encoder looks names up in. */
export const STATIC_BY_NAME: ReadonlyMap<string, StaticName> = new Map(
  ENTRIES.map(([name, values]) => [name, { name, index: STATIC_NAMES.indexOf(name), values }]),
);
