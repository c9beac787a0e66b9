import { stringify } from 'yaml';
import { isRecord } from '#policy/schema/schema.ts';
import { readYaml, type YamlDocument } from '#policy/yaml/read-yaml.ts';

/** Objects nested deeper are refused: everything behind walks values recursively. */
export const MAX_OBJECT_DEPTH = 100;

/** Objects with more JSON are not printed to find a position: that takes seconds for a megabyte. Positions in them are line 1. */
export const MAX_PRINTED_CHARACTERS = 32 * 1024;

/**
 * An object as the readers of policy folders take a document. Its positions are those in the object as
 * `kubectl get -o yaml` prints it (without status and managedFields), found only once a problem asks for one, within
 * MAX_PRINTED_CHARACTERS.
 */
export function objectDocument(object: { readonly [key: string]: unknown }): YamlDocument {
  let printed: YamlDocument | undefined;
  let isPrintable: boolean | undefined;
  return {
    value: object,
    position(path, at) {
      isPrintable ??= JSON.stringify(shownPart(object)).length <= MAX_PRINTED_CHARACTERS;
      if (!isPrintable) return { line: 1, column: 1 };
      printed ??= readYaml({ path: '', text: stringify(shownPart(object), { aliasDuplicateObjects: false }) })
        .documents[0];
      return printed?.position(path, at) ?? { line: 1, column: 1 };
    },
  };
}

function shownPart({ status: _status, ...object }: { readonly [key: string]: unknown }) {
  const { metadata } = object;
  if (!isRecord(metadata)) return object;
  const { managedFields: _managedFields, ...shown } = metadata;
  return { ...object, metadata: shown };
}

/** True when lists and mappings lie within one another deeper than MAX_OBJECT_DEPTH. */
export function isTooDeep(root: unknown): boolean {
  let level: unknown[] = [root];
  for (let depth = 0; depth <= MAX_OBJECT_DEPTH; depth += 1) {
    level = level.flatMap((value) => (typeof value === 'object' && value !== null ? Object.values(value) : []));
    if (level.length === 0) return false;
  }
  return true;
}
