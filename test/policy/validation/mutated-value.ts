import fc from 'fast-check';
import { isRecord } from '#policy/schema/schema.ts';

const REPLACEMENTS: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  1.5,
  1e9,
  '',
  'x',
  'x'.repeat(200),
  [],
  [1, 1],
  {},
  { surplus: 1 },
];

/**
 * A value changed at one place: a part replaced by another kind of value, a member left out, a member or an item added. It may
 * be valid still: who judges is not told.
 */
export function mutatedValue(value: unknown): fc.Arbitrary<unknown> {
  return fc
    .tuple(fc.nat(), fc.nat(2), fc.constantFrom(...REPLACEMENTS))
    .map(([place, way, replacement]) => mutate(value, { left: place % places(value) }, way, replacement));
}

function places(value: unknown): number {
  return 1 + children(value).reduce((sum: number, child) => sum + places(child), 0);
}

function children(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : isRecord(value) ? Object.values(value) : [];
}

function mutate(value: unknown, count: { left: number }, way: number, replacement: unknown): unknown {
  if (count.left-- === 0) return changed(value, way, replacement);
  if (Array.isArray(value)) return value.map((item: unknown) => mutate(item, count, way, replacement));
  if (!isRecord(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, child]) => [name, mutate(child, count, way, replacement)]),
  );
}

function changed(value: unknown, way: number, replacement: unknown): unknown {
  if (Array.isArray(value) && way === 0) return [...value, replacement];
  if (Array.isArray(value) && way === 1) return value.slice(1);
  if (isRecord(value) && way === 0) return { ...value, surplus: replacement };
  if (isRecord(value) && way === 1) return Object.fromEntries(Object.entries(value).slice(1));
  return replacement;
}
