import { isMap, isScalar, type Pair, parseDocument, type YAMLMap } from 'yaml';
import { isRecord, type JsonSchema } from '#policy/schema/schema.ts';
import { valuesSchema } from './values-schema.ts';

/** One value of the chart, as values.yaml documents it. */
export interface DocumentedValue {
  /** `image.repository` */
  readonly path: string;
  readonly default: unknown;
  readonly type: string;
  readonly description: string;
}

/**
 * The values of values.yaml that have a comment, in their order. A mapping that has none is a group, whose members have
 * theirs; throws for anything else without a comment, and for what values.schema.json does not know.
 */
export function documentedValues(valuesYaml: string): DocumentedValue[] {
  const { contents } = parseDocument(valuesYaml);
  if (!isMap(contents)) throw new Error('values.yaml holds no mapping');
  return valuesOf(contents, '', valuesSchema());
}

function valuesOf(map: YAMLMap, prefix: string, schema: JsonSchema): DocumentedValue[] {
  return map.items.flatMap((pair, index) => {
    const key = isScalar(pair.key) ? String(pair.key.value) : '';
    const path = `${prefix}${key}`;
    const field = fieldOf(schema, key);
    if (field === undefined) throw new Error(`values.yaml: ${path} is not in scripts/helm/values-schema.ts`);
    const description = commentOf(map, pair, index);
    if (description === '') {
      if (!isMap(pair.value)) throw new Error(`values.yaml: ${path} has no comment`);
      return valuesOf(pair.value, `${path}.`, field);
    }
    const value: unknown = isMap(pair.value) || !isScalar(pair.value) ? toJson(pair.value) : pair.value.value;
    return [{ path, default: value, type: typeOf(field), description }];
  });
}

/** The comment above: the library gives that of a mapping's first entry to the mapping itself. */
function commentOf(map: YAMLMap, pair: Pair, index: number): string {
  const own = isScalar(pair.key) ? (pair.key.commentBefore ?? '') : '';
  const above = own !== '' || index > 0 ? own : (map.commentBefore ?? '');
  const last = above.split(/\n\s*\n/).at(-1) ?? ''; // a paragraph of its own is not about this value
  return last.replace(/\s+/g, ' ').trim();
}

function toJson(value: unknown): unknown {
  return typeof value === 'object' && value !== null && 'toJSON' in value && typeof value.toJSON === 'function'
    ? value.toJSON()
    : value;
}

function fieldOf(schema: JsonSchema, key: string): JsonSchema | undefined {
  const { properties } = schema;
  const field = isRecord(properties) ? properties[key] : undefined;
  return isRecord(field) ? field : undefined;
}

function typeOf({ enum: choices, type, minimum, maximum }: JsonSchema): string {
  if (Array.isArray(choices)) {
    const named = choices.filter((choice) => choice !== ''); // the description says what empty means
    return named.map((choice) => `\`${choice}\``).join(' or ');
  }
  const shown = Array.isArray(type) ? String(type[0]) : String(type);
  return minimum === undefined || maximum === undefined ? shown : `${shown}, ${minimum} to ${maximum}`;
}
