/**
 * Adds the first error of a failed reference to those found so far (null: none). Exactly one is added:
 * generated validators tell by the number of errors whether a step failed.
 */
export function joinErrors(errors: unknown[] | null, more: readonly unknown[]): unknown[] {
  if (errors === null) return [more[0]];
  errors.push(more[0]);
  return errors;
}
