import { isMap, isScalar, isSeq, type Node } from 'yaml';
import type { Path } from '../schema/schema.ts';

/** Offset of the value at a path, or with `at: 'key'` of its key; where the path ends early, of the last node found. */
export function nodeOffset(root: Node | null, path: Path, at: 'key' | undefined): number {
  let offset = root?.range?.[0] ?? 0;
  let node: unknown = root;
  for (const [index, step] of path.entries()) {
    const isLast = index === path.length - 1;
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(step));
      if (pair === undefined) return offset;
      const keyOffset = isScalar(pair.key) ? pair.key.range?.[0] : undefined;
      offset = keyOffset ?? offset;
      if (isLast && at === 'key') return offset;
      node = pair.value;
    } else if (isSeq(node) && typeof step === 'number') {
      node = node.items[step];
    } else {
      return offset;
    }
    offset = rangeStart(node) ?? offset;
  }
  return offset;
}

function rangeStart(node: unknown): number | undefined {
  if (isMap(node) || isSeq(node) || isScalar(node)) return node.range?.[0];
  return undefined;
}
