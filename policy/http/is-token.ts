/** RFC 9110 §5.6.2. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** True for what may name a header field. */
export function isToken(text: string): boolean {
  return TOKEN.test(text);
}
