/** Errors of CEL that speak of types, limits and places alone. */
const WITHOUT_VALUES =
  /^(?:found no matching overload |type mismatch: |more than \d+ elements |split makes more than |(?:u?int|double) overflow |timestamp out of range|duration out of range|division by zero|modulus by zero)/;
/** Errors that name the value at fault, told without it. */
const WITH_VALUES: readonly (readonly [RegExp, string])[] = [
  [/^index .* out of bounds/s, 'an index is out of bounds'],
  [/^map key conflict/, 'a map has a key twice'],
  [/^Failed to parse duration/, 'a text is no duration'],
  [/^Failed to parse timestamp/, 'a text is no timestamp'],
  [/to a BigInt$|^(?:u)?int\d* out of range/s, 'a text or number is no whole number'],
  [/^Unable to convert string .* to bool$/s, 'a text is neither true nor false'],
];
const NOT_FOUND = 'field not found: ';

/**
 * What went wrong in a condition, for the operator: names that the condition itself has, and no value of the request, which may be a
 * secret. `text`: of the condition.
 */
export function toldError(message: string, text: string): string {
  if (message.startsWith(NOT_FOUND)) {
    const name = message.slice(NOT_FOUND.length);
    return text.includes(name) ? message : `${NOT_FOUND}one that the request names`;
  }
  if (WITHOUT_VALUES.test(message)) return message;
  return WITH_VALUES.find(([pattern]) => pattern.test(message))?.[1] ?? 'a value cannot be used so';
}
