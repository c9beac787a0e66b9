/** Parts of names that stand for secrets or for what identifies a person, in lower case without separators. */
const SECRET_PART =
  /auth|bearer|cookie|token|secret|passw|passphrase|credential|signature|session|assertion|jwt|csrf|xsrf|apikey|accesskey|privatekey|keyid|cvv|cvc|ssn|iban|card/;
/** Short names that are secret by themselves, but not as a part of another word. */
const SECRET_WHOLE: ReadonlySet<string> = new Set(['code', 'key', 'pin', 'pwd', 'sig', 'sid', 'otp', 'totp']);

/** True for names of headers and parameters whose values are secret: not logged, hashed where they must be compared. */
export function isSecretName(name: string): boolean {
  let decoded = name;
  if (name.includes('%')) {
    try {
      decoded = decodeURIComponent(name);
    } catch {
      return true; // a name that cannot be read may hide one that is secret
    }
  }
  const words = decoded
    .replace(/([a-z])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .map(withoutNumber);
  return SECRET_PART.test(words.join('')) || words.some((word) => SECRET_WHOLE.has(word));
}

/** `token2` is a token. Source of names are callers: a pattern that is tried from each digit on would be their weapon. */
function withoutNumber(word: string): string {
  let end = word.length;
  while (end > 0 && isDigit(word.charCodeAt(end - 1))) end--;
  return word.slice(0, end);
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}
