import { isComposite, textOf } from './unique-items.ts';

/**
 * Whether a value is one of a list (`enum`), as JSON values are equal: 1.0 is 1, and the order of names means nothing. What it takes does not
 * grow with the list.
 */
export function memberOf(values: readonly unknown[]): (value: unknown) => boolean {
  const primitives = new Set(values.filter((value) => !isComposite(value)));
  const composites = new Set(values.filter(isComposite).map(textOf));
  return (value) => (isComposite(value) ? composites.size > 0 && composites.has(textOf(value)) : primitives.has(value));
}
