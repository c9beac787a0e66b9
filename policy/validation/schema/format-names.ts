/**
 * Longest text of each format taken from ajv-formats; a longer one does not satisfy the format. Their regular
 * expressions backtrack, some in the square of the length: bounded, none takes more than a fraction of a
 * millisecond. Sources of the lengths: RFC 5321 §4.5.3.1 (email), RFC 1035 §2.3.4 (hostname).
 */
export const MAX_FORMAT_LENGTHS = {
  date: 10,
  time: 64,
  'date-time': 64,
  duration: 256,
  email: 320,
  hostname: 254,
  ipv4: 15,
  ipv6: 45,
  uuid: 45,
  uri: 8_192,
  'uri-reference': 8_192,
  'uri-template': 8_192,
  'json-pointer': 8_192,
  'relative-json-pointer': 8_192,
  regex: 4_096,
} as const;

/** Checked otherwise (formats.ts). */
const OTHERS = ['byte', 'int32', 'int64', 'float', 'double', 'password', 'binary'];

/** The formats that are checked, or that say nothing that could be; others are annotations. */
export const KNOWN_FORMATS: ReadonlySet<string> = new Set([...Object.keys(MAX_FORMAT_LENGTHS), ...OTHERS]);
