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
    .map((word) => word.replace(/\d+$/, ''));
  return SECRET_PART.test(words.join('')) || words.some((word) => SECRET_WHOLE.has(word));
}
