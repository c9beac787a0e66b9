/** RFC 9110 §5.6.2: names of fields, methods, parts of chunk extensions. */
export const TOKEN = 1;
/** RFC 9112 §3.2, as far as bytes can tell: visible, no fragment; and obs-text (the path stage refuses what is not UTF-8). */
export const TARGET = 2;
/** RFC 9110 §5.5: visible characters, space, tab and obs-text. */
export const VALUE = 4;
export const DIGIT = 8;

export const TAB = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SPACE = 0x20;

/** What each byte may be part of: one look-up in place of a regular expression. */
export const CLASSES: Uint8Array = classify();

function classify(): Uint8Array {
  const classes = new Uint8Array(256);
  for (let code = 0; code < 256; code++) {
    const character = String.fromCharCode(code);
    const isVisible = (code > SPACE && code < 0x7f) || code >= 0x80;
    classes[code] =
      (/[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(character) ? TOKEN : 0) |
      (isVisible ? VALUE : 0) |
      (isVisible && character !== '#' ? TARGET : 0) |
      (code === SPACE || code === TAB ? VALUE : 0) |
      (/[0-9]/.test(character) ? DIGIT : 0);
  }
  return classes;
}

/** True where all of `bytes` from `start` up to `end` (excluded) are of the class. */
export function areAll(bytes: Uint8Array, start: number, end: number, wanted: number): boolean {
  for (let at = start; at < end; at++) if (((CLASSES[bytes[at] ?? 0] ?? 0) & wanted) === 0) return false;
  return true;
}
