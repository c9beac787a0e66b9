import { spendWork } from './work-budget.ts';

/** What an item costs that is looked up, and what a value within one does that is written down for it. */
const ITEM_WORK = 8;
const VALUE_WORK = 20;

/**
 * True when no two items are equal as JSON values. Time grows with the size of the items, not with the square
 * of their number as with comparing each to each.
 */
export function hasUniqueItems(items: readonly unknown[]): boolean {
  spendWork(items.length * ITEM_WORK);
  const seen = new Set<unknown>();
  for (const item of items) {
    const key = identity(item);
    if (seen.has(key)) return false;
    seen.add(key);
  }
  return true;
}

/** Equal for equal values: of primitives the value itself, of the rest a text no string item can be mistaken for. */
function identity(item: unknown): unknown {
  if (typeof item === 'string') return `"${item}`;
  return isComposite(item) ? textOf(item) : item;
}

/** True for lists and objects. */
export function isComposite(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

/** Equal for equal JSON values: JSON with sorted keys. The depth of values is bounded by limits.jsonDepth. */
export function textOf(value: unknown): string {
  spendWork(VALUE_WORK);
  if (Array.isArray(value)) return `[${value.map(textOf).join()}]`;
  if (!isComposite(value)) {
    if (typeof value === 'string') spendWork(value.length >> 3);
    return JSON.stringify(value) ?? 'null';
  }
  const entries = Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1));
  spendWork(entries.length * VALUE_WORK);
  return `{${entries.map(([key, entry]) => `${JSON.stringify(key)}:${textOf(entry)}`).join()}}`;
}
