import type { RefusalDetail } from '../../error/refusal.ts';
import { isRecord, type Path } from '../../schema/schema.ts';
import { type Located, type References, SchemaFault } from './schema-references.ts';
import { MAX_DETAILS, pointerTo } from './validation-details.ts';

/** The names that any branch of a schema declares for the properties of a value, level by level. Plain data. */
export interface NamesUnit {
  readonly kind: 'names';
  readonly nodes: readonly NamesNode[];
}

export interface NamesNode {
  /** Any name is declared (`patternProperties`, `additionalProperties` that allow some, no `properties` at all). */
  readonly isOpen: boolean;
  /** Index of the node of each property. */
  readonly properties: ReadonlyMap<string, number>;
  /** Index of the node of all items; -1: nothing is said of them. */
  readonly items: number;
}

/** Nodes of one document; schemas beyond are refused as not available. */
export const MAX_NAMES_NODES = 50_000;

/** Keywords whose schemas speak of the same value. */
const IN_PLACE_LISTS = ['allOf', 'anyOf', 'oneOf'] as const;
const IN_PLACE = ['if', 'then', 'else'] as const;
const OF_ITEMS = ['items', 'contains', 'additionalItems', 'unevaluatedItems'] as const;

/** Finds the declared names of the schemas of a document; what is found of one is used by all. */
export class DeclaredNames {
  readonly #references: References;
  readonly #nodes: { isOpen: boolean; properties: Map<string, number>; items: number }[] = [];
  readonly #known = new Map<string, number>();

  constructor(references: References) {
    this.#references = references;
  }

  get unit(): NamesUnit {
    return { kind: 'names', nodes: this.#nodes };
  }

  /** Index of the node of a value that all of these schemas speak of. Throws SchemaFault. */
  node(schemas: readonly Located[]): number {
    const all = new Map<string, Located>();
    for (const schema of schemas) this.#gather(schema, all);
    const key = [...all.keys()].sort().join('\n');
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    if (this.#nodes.length === MAX_NAMES_NODES) {
      throw new SchemaFault(schemas[0]?.path ?? [], `unknownProperties: more than ${MAX_NAMES_NODES} kinds of objects`);
    }
    const node = { isOpen: false, properties: new Map<string, number>(), items: -1 };
    const index = this.#nodes.push(node) - 1;
    this.#known.set(key, index); // before its members: schemas refer to themselves
    this.#fill(node, [...all.values()]);
    return index;
  }

  #fill(node: { isOpen: boolean; properties: Map<string, number>; items: number }, schemas: readonly Located[]): void {
    const properties = new Map<string, Located[]>();
    const items: Located[] = [];
    let isOpen = false;
    for (const { value, path } of schemas) {
      if (!isRecord(value)) continue;
      isOpen ||= allowsMore(value);
      for (const [name, schema] of isRecord(value.properties) ? Object.entries(value.properties) : []) {
        const located = { value: schema, path: [...path, 'properties', name] };
        properties.set(name, [...(properties.get(name) ?? []), located]);
      }
      items.push(...itemsOf(value, path));
    }
    node.isOpen = isOpen || properties.size === 0;
    for (const [name, located] of properties) node.properties.set(name, this.node(located));
    if (items.length > 0) node.items = this.node(items);
  }

  /** A schema and all that speak of the same value, by their places. */
  #gather(start: Located, found: Map<string, Located>): void {
    const { value, path } = start;
    const key = JSON.stringify(path.map(String));
    if (found.has(key)) return;
    found.set(key, start);
    if (!isRecord(value)) return;
    if (typeof value.$ref === 'string') this.#gather(this.#references.resolve(value.$ref, path), found);
    for (const keyword of IN_PLACE_LISTS) {
      const branches: unknown = value[keyword];
      if (!Array.isArray(branches)) continue;
      for (const [index, branch] of branches.entries())
        this.#gather({ value: branch, path: [...path, keyword, index] }, found);
    }
    for (const keyword of IN_PLACE) {
      if (isRecord(value[keyword])) this.#gather({ value: value[keyword], path: [...path, keyword] }, found);
    }
    const { dependentSchemas } = value;
    for (const [name, schema] of isRecord(dependentSchemas) ? Object.entries(dependentSchemas) : []) {
      this.#gather({ value: schema, path: [...path, 'dependentSchemas', name] }, found);
    }
  }
}

function allowsMore(schema: { readonly [keyword: string]: unknown }): boolean {
  const { additionalProperties, unevaluatedProperties, patternProperties, $dynamicRef } = schema;
  if ($dynamicRef !== undefined) return true; // what it leads to is not known here
  const isGiven = (value: unknown) => value !== undefined && value !== false;
  return isGiven(additionalProperties) || isGiven(unevaluatedProperties) || isRecord(patternProperties);
}

function itemsOf(schema: { readonly [keyword: string]: unknown }, path: Path): readonly Located[] {
  const located: Located[] = [];
  for (const keyword of OF_ITEMS) {
    const value = schema[keyword];
    if (Array.isArray(value)) located.push(...listed(value, [...path, keyword]));
    else if (isRecord(value)) located.push({ value, path: [...path, keyword] });
  }
  const { prefixItems } = schema;
  if (Array.isArray(prefixItems)) located.push(...listed(prefixItems, [...path, 'prefixItems']));
  return located;
}

function listed(values: readonly unknown[], path: Path): readonly Located[] {
  return values.map((value, index) => ({ value, path: [...path, index] }));
}

/** The properties that no branch of the schema declares, the first MAX_DETAILS of them. Time is linear in the value. */
export function unknownProperties({ nodes }: NamesUnit, root: number, value: unknown): readonly RefusalDetail[] {
  const details: RefusalDetail[] = [];
  const look = (at: unknown, index: number, pointer: string): void => {
    const node = nodes[index];
    if (node === undefined || details.length === MAX_DETAILS) return;
    if (Array.isArray(at)) {
      if (node.items < 0) return;
      for (const [place, item] of at.entries()) look(item, node.items, `${pointer}/${place}`);
    } else if (isRecord(at)) {
      for (const [name, child] of Object.entries(at)) {
        const next = node.properties.get(name);
        const path = pointer + pointerTo(name);
        if (next !== undefined) look(child, next, path);
        else if (!node.isOpen && details.length < MAX_DETAILS) {
          details.push({ in: 'body', pointer: path, keyword: 'unknown', message: 'is not declared' });
        }
      }
    }
  };
  look(value, root, '');
  return details;
}
