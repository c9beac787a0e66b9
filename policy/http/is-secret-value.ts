import { isCredential } from './is-credential.ts';

/**
 * Values that are personal whatever their name: e-mail addresses and long digit runs (cards) anywhere in them. Callers write them: no
 * part of it may be tried again from each character on.
 */
const PERSONAL_VALUE = /[^@\s]@[^@\s]+\.[a-z]{2,}|(?:\d[ +-]?){13}/i;

/** What stands in place of a secret in all that is told and recorded. */
export const REDACTED = '[redacted]';

/** True for texts that are secret, or of a person, wherever they stand: not logged, nor shown. */
export function isSecretValue(value: string): boolean {
  return isCredential(value) || PERSONAL_VALUE.test(value);
}
