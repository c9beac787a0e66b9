import { isRecord } from '../../schema/schema.ts';
import { pointerSteps } from '../schema/schema-references.ts';

/** Fields that say nothing about what is valid, wherever they stand outside of schemas. */
const PROSE: ReadonlySet<string> = new Set([
  ...['description', 'summary', 'example', 'examples', 'externalDocs', 'tags', 'security', 'callbacks', 'links'],
]);

/** Keywords of schemas that say nothing about what is valid. */
const ANNOTATIONS: ReadonlySet<string> = new Set([
  ...['title', 'description', 'default', 'example', 'examples', 'externalDocs', 'xml', 'deprecated', '$comment'],
]);

/** Keywords whose values are data. */
const DATA: ReadonlySet<string> = new Set(['enum', 'const', 'required', 'type', 'discriminator', 'dependentRequired']);
/** Keywords whose values hold schemas by names that are no keywords. */
const NAMED: ReadonlySet<string> = new Set([
  ...['properties', 'patternProperties', 'dependentSchemas', 'dependencies', '$defs', 'definitions'],
]);

/** Fields whose values have names that are no fields. */
const NAMED_FIELDS: ReadonlySet<string> = new Set(['content', 'headers', 'encoding', 'variables']);

/** Sections of components that what is left can refer to. */
const SECTIONS = ['schemas', 'responses', 'parameters', 'requestBodies', 'headers', 'pathItems'] as const;

/**
 * A document that means the same to a validator, as JSON: without prose, examples and extensions, and without components that no operation
 * or webhook reaches. It is OpenAPI still. What cannot be read as a document stays as it is: its reader says what is wrong.
 */
export function reduceDocument(document: unknown): unknown {
  if (!isRecord(document)) return document;
  const { openapi, info, servers, jsonSchemaDialect, paths, webhooks, components } = document;
  const kept = {
    openapi,
    info: isRecord(info) ? { title: info.title, version: info.version } : info,
    ...(servers === undefined ? {} : { servers: reduced(servers) }),
    ...(jsonSchemaDialect === undefined ? {} : { jsonSchemaDialect }),
    ...(paths === undefined ? {} : { paths: reduceNamed(paths) }),
    ...(webhooks === undefined ? {} : { webhooks: reduceNamed(webhooks) }),
  };
  const others = hasIdentifiers(document) ? otherFields(document) : {};
  const whole = isRecord(components)
    ? { ...kept, ...others, components: reachable(kept, components) }
    : { ...kept, ...others };
  addReferred(document, whole);
  return whole;
}

/** Fields of documents that the specification does not have; schemas may stand there. */
function otherFields(document: { readonly [field: string]: unknown }): { readonly [field: string]: unknown } {
  const known = new Set(['openapi', 'info', 'servers', 'jsonSchemaDialect', 'paths', 'webhooks', 'components']);
  const entries = Object.entries(document).filter(([field]) => !known.has(field) && !PROSE.has(field));
  return Object.fromEntries(entries);
}

type Mapping = { [field: string]: unknown };

/**
 * Puts back what a `$ref` names and what was left out: schemas stand below `definitions`, in extensions and in examples too. They are put back
 * as they are, since nothing says what they are.
 */
function addReferred(document: Mapping, whole: Mapping): void {
  const seen = new Set<string>();
  const open: unknown[] = [whole];
  while (open.length > 0) {
    for (const reference of pointersIn(open.pop())) {
      if (seen.has(reference)) continue;
      seen.add(reference);
      open.push(putBack(document, whole, pointerSteps(reference.slice(1)).map(String)));
    }
  }
}

/** What was put back; undefined: it is there, or there is no such thing. */
function putBack(document: Mapping, whole: Mapping, steps: readonly string[]): unknown {
  let from: unknown = document;
  let to: Mapping = whole;
  for (const [index, step] of steps.entries()) {
    if (!isRecord(from) || !Object.hasOwn(from, step)) return undefined;
    from = from[step];
    const isLast = index === steps.length - 1;
    const known = Object.hasOwn(to, step) ? to[step] : undefined;
    // A list has its places by number: it is there whole, or put back whole.
    if (Array.isArray(known) || (isLast && known !== undefined)) return undefined;
    if (isLast || Array.isArray(from)) {
      set(to, step, from);
      return from;
    }
    if (known === undefined) set(to, step, {});
    const next = to[step];
    if (!isRecord(next)) return undefined;
    to = next;
  }
  return undefined;
}

/** Also for `__proto__`. */
function set(mapping: Mapping, name: string, value: unknown): void {
  Object.defineProperty(mapping, name, { value, enumerable: true, configurable: true, writable: true });
}

function pointersIn(value: unknown, found: string[] = []): readonly string[] {
  if (Array.isArray(value)) for (const item of value) pointersIn(item, found);
  if (!isRecord(value)) return found;
  if (typeof value.$ref === 'string' && value.$ref.startsWith('#/')) found.push(value.$ref);
  for (const child of Object.values(value)) pointersIn(child, found);
  return found;
}

/** A mapping whose names are not fields: paths, webhooks, the entries of a section. */
function reduceNamed(value: unknown): unknown {
  if (!isRecord(value)) return value;
  const entries = Object.entries(value).filter(([name]) => !name.startsWith('x-'));
  return Object.fromEntries(entries.map(([name, entry]) => [name, reduced(entry)]));
}

/** Anything but a schema. */
function reduced(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reduced);
  if (!isRecord(value)) return value;
  const entries = Object.entries(value).flatMap(([field, entry]): [string, unknown][] => {
    if (PROSE.has(field) || field.startsWith('x-')) return [];
    if (field === 'schema') return [[field, reducedSchema(entry)]];
    if (field === 'responses') return [[field, reduceNamed(entry)]];
    // names of header fields, of parts and of media types begin with x- as well
    if (NAMED_FIELDS.has(field)) return [[field, reduceEntries(entry)]];
    return [[field, reduced(entry)]];
  });
  return Object.fromEntries(entries);
}

function reduceEntries(value: unknown): unknown {
  if (!isRecord(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, reduced(entry)]));
}

function reducedSchema(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reducedSchema);
  if (!isRecord(value)) return value;
  const entries = Object.entries(value).flatMap(([keyword, content]): [string, unknown][] => {
    if (ANNOTATIONS.has(keyword) || keyword.startsWith('x-')) return [];
    if (DATA.has(keyword)) return [[keyword, content]];
    if (!NAMED.has(keyword) || !isRecord(content)) return [[keyword, reducedSchema(content)]];
    return [
      [keyword, Object.fromEntries(Object.entries(content).map(([name, schema]) => [name, reducedSchema(schema)]))],
    ];
  });
  return Object.fromEntries(entries);
}

/** The components that are referred to, by others that are too. All of them where schemas have identifiers of their own. */
function reachable(root: unknown, components: { readonly [section: string]: unknown }): unknown {
  const sections = SECTIONS.flatMap((section) => {
    const entries = components[section];
    return isRecord(entries) ? [[section, new Map(Object.entries(entries))] as const] : [];
  });
  const all = new Map(sections);
  const kept = new Map<string, Map<string, unknown>>();
  const keep = (section: string, name: string): unknown => {
    const entry = all.get(section as (typeof SECTIONS)[number])?.get(name);
    const known = kept.get(section) ?? new Map<string, unknown>();
    if (entry === undefined || known.has(name)) return undefined;
    const value = section === 'schemas' ? reducedSchema(entry) : reduced(entry);
    kept.set(section, known.set(name, value));
    return value;
  };
  const open: unknown[] = [root];
  if (hasIdentifiers(root) || hasIdentifiers(components)) {
    for (const [section, entries] of all) for (const name of entries.keys()) keep(section, name);
  }
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    for (const reference of referencesIn(value)) {
      const [section, name] = reference;
      const next = keep(section, name);
      if (next !== undefined) open.push(next);
    }
  }
  // In the order of the source: a document that says the same has the same hash.
  return Object.fromEntries(
    sections.flatMap(([section, entries]) => {
      const found = kept.get(section);
      if (found === undefined) return [];
      return [
        [
          section,
          Object.fromEntries(
            [...entries.keys()].filter((name) => found.has(name)).map((name) => [name, found.get(name)]),
          ),
        ],
      ];
    }),
  );
}

function hasIdentifiers(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(hasIdentifiers);
  if (!isRecord(value)) return false;
  return (
    ['$id', '$anchor', '$dynamicAnchor', '$schema'].some((keyword) => typeof value[keyword] === 'string') ||
    Object.values(value).some(hasIdentifiers)
  );
}

/** Sections and names of the components that a value refers to. */
function referencesIn(value: unknown, found: [string, string][] = []): readonly [string, string][] {
  if (Array.isArray(value)) for (const item of value) referencesIn(item, found);
  if (!isRecord(value)) return found;
  if (typeof value.$ref === 'string') addReference(value.$ref, found);
  const { discriminator } = value;
  if (isRecord(discriminator) && isRecord(discriminator.mapping)) {
    for (const target of Object.values(discriminator.mapping)) {
      // OpenAPI 3.1 §4.8.25: the name of a schema, or a reference.
      addReference(String(target), found);
      found.push(['schemas', String(target)]);
    }
  }
  for (const child of Object.values(value)) referencesIn(child, found);
  return found;
}

function addReference(reference: string, found: [string, string][]): void {
  const [, section, name] = /^#\/components\/([^/]+)\/([^/]+)/.exec(reference) ?? [];
  if (section === undefined || name === undefined) return;
  found.push([section, decoded(name).replaceAll('~1', '/').replaceAll('~0', '~')]);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
