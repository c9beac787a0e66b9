/** A scheme of authentication with what follows it (RFC 9110 §11.4). */
const SCHEME = /\b(?:bearer|basic)\s/i;
/** Shorter than any of them. */
const MIN_LENGTH = 7;
/** Characters of base64url in the header of the shortest JSON Web Token, `ey` included. */
const MIN_HEADER_LENGTH = 10;
const DOT = 0x2e;

/** True for values that are secret whatever header or claim they stand in: not logged, nor shown. */
export function isCredential(value: string): boolean {
  return value.length >= MIN_LENGTH && (SCHEME.test(value) || hasToken(value));
}

/** A JSON Web Token anywhere in it: `ey…`, a dot, and more. Each character is looked at once, whoever wrote them. */
function hasToken(value: string): boolean {
  let begin = -1;
  for (let index = 0; index < value.length; index++) {
    const code = value.charCodeAt(index);
    if (code === DOT && begin !== -1 && index - begin >= MIN_HEADER_LENGTH && isBase64Url(value.charCodeAt(index + 1)))
      return true;
    if (!isBase64Url(code)) begin = -1;
    else if (begin === -1 && value.startsWith('ey', index)) begin = index;
  }
  return false;
}

function isBase64Url(code: number): boolean {
  const letter = code | 0x20;
  return (letter >= 0x61 && letter <= 0x7a) || (code >= 0x30 && code <= 0x39) || code === 0x2d || code === 0x5f;
}
