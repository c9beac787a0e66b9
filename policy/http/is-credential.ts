/** A JSON Web Token anywhere, or a scheme of authentication with what follows it (RFC 9110 §11.4). */
const CREDENTIAL = /ey[\w-]{8,}\.[\w-]+|\b(?:bearer|basic)\s+\S/i;
/** Shorter than any of them. */
const MIN_LENGTH = 7;

/** True for values that are secret whatever header or claim they stand in: not logged, nor shown. */
export function isCredential(value: string): boolean {
  return value.length >= MIN_LENGTH && CREDENTIAL.test(value);
}
