/**
 * True when no two items are equal as JSON values. Time grows with the size of the items, not with the square
 * of their number as with comparing each to each.
 */
export function hasUniqueItems(items: readonly unknown[]): boolean {
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
  if (typeof item !== 'object' || item === null) return item;
  return canonical(item);
}

/** JSON with sorted keys; depth is bounded by limits.jsonDepth. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const entries = Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1));
  return `{${entries.map(([key, entry]) => `${JSON.stringify(key)}:${canonical(entry)}`).join()}}`;
}
