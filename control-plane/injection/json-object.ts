import { isRecord } from '#policy/schema/schema.ts';

/** A Kubernetes object as JSON has it; fields that nobody here looks at are kept as they are. */
export type JsonObject = { readonly [key: string]: unknown };

/** The object of that name, or an empty one. */
export function objectAt(parent: JsonObject, name: string): JsonObject {
  const value = parent[name];
  return isRecord(value) ? value : {};
}

/** The objects of the list of that name; none where it is absent. */
export function objectsAt(parent: JsonObject, name: string): readonly JsonObject[] {
  const value = parent[name];
  return Array.isArray(value) ? value.filter(isRecord) : [];
}

export function textAt(parent: JsonObject, name: string): string | undefined {
  const value = parent[name];
  return typeof value === 'string' ? value : undefined;
}

/** Labels or annotations; entries that are no strings are left out. */
export function textsAt(parent: JsonObject, name: string): { readonly [key: string]: string } {
  const entries = Object.entries(objectAt(parent, name));
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
}
