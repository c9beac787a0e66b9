import { isDeepStrictEqual } from 'node:util';
import { isRecord } from '#policy/schema/schema.ts';

/** One operation of RFC 6902. */
export type PatchOperation =
  | { readonly op: 'add' | 'replace'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string };

/** The operations that make `after` of `before`. A list whose length differs is replaced as a whole. */
export function jsonPatch(before: unknown, after: unknown, path = ''): PatchOperation[] {
  if (isDeepStrictEqual(before, after)) return [];
  if (isRecord(before) && isRecord(after)) {
    const removed = Object.keys(before).filter((name) => !Object.hasOwn(after, name));
    const operations: PatchOperation[] = removed.map((name) => ({ op: 'remove', path: step(path, name) }));
    for (const [name, value] of Object.entries(after)) {
      if (Object.hasOwn(before, name)) operations.push(...jsonPatch(before[name], value, step(path, name)));
      else operations.push({ op: 'add', path: step(path, name), value });
    }
    return operations;
  }
  if (Array.isArray(before) && Array.isArray(after) && before.length === after.length) {
    return before.flatMap((item: unknown, index) => jsonPatch(item, after[index], `${path}/${index}`));
  }
  return [{ op: 'replace', path, value: after }];
}

/** RFC 6901 §3. */
function step(path: string, name: string): string {
  return `${path}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
}
