import { isRecord } from '#policy/schema/schema.ts';

/**
 * The same value with its merge keys (`<<` of YAML 1.1, which kubectl reads) taken in: a mapping's own keys go before those it
 * merges, earlier ones before later ones.
 */
export function withMergedKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withMergedKeys);
  if (!isRecord(value)) return value;
  const { '<<': merged, ...own } = value;
  const sources = (Array.isArray(merged) ? merged : [merged]).map(withMergedKeys).filter(isRecord);
  const entries = Object.entries(own).map(([key, one]) => [key, withMergedKeys(one)] as const);
  return Object.fromEntries([...sources.reverse().flatMap(Object.entries), ...entries]);
}
