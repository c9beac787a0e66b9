import { isRecord, type Path } from '../../schema/schema.ts';
import metaSchemas from './meta-schemas.json' with { type: 'json' };

/** More `$ref`s one after another are refused: they are a circle, or might as well be. */
export const MAX_REFERENCE_CHAIN = 32;

/** A value of a document and where it stands. */
export interface Located {
  readonly value: unknown;
  readonly path: Path;
}

/** What is wrong at a place of a document; caught where an operation is read. */
export class SchemaFault extends Error {
  readonly path: Path;
  readonly code: string;
  /** `key`: the name of the last step is wrong, not its value. */
  readonly at: 'key' | undefined;

  constructor(path: Path, message: string, code = 'invalid_schema', at?: 'key') {
    super(message);
    this.path = path;
    this.code = code;
    this.at = at;
  }
}

/** Base of documents that state none; never fetched, like any other. */
const DOCUMENT_BASE = 'document:/';
/** Keywords whose values are data, not schemas. */
const DATA_KEYWORDS = new Set(['example', 'examples', 'default', 'const', 'enum']);

/** Where the meta-schemas stand in paths: they are known to every document, and nothing is fetched for them. */
const META_SCHEMAS = '(meta-schemas)';

/** References within one document. Nothing outside of it is ever looked at. */
export class References {
  readonly #root: unknown;
  /** By resource: schemas with `$dynamicAnchor` (§8.2.2). */
  readonly #dynamicAnchors = new Map<string, Map<string, Path>>();
  /** By absolute URI: schemas with `$id` (JSON Schema 2020-12 §8.2.1). */
  readonly #resources = new Map<string, Path>([[DOCUMENT_BASE, []]]);
  /** By absolute URI with fragment: `$anchor` (§8.2.2). */
  readonly #anchors = new Map<string, Path>();
  readonly #hasIds: boolean;
  #hasMetaSchemas = false;

  /**
   * `hasIds`: `$id` and `$anchor` have their meaning of JSON Schema 2020-12 (OpenAPI 3.1). `hasDraft04`: some schema may say that it is of
   * draft-04.
   */
  constructor(root: unknown, hasIds: boolean, hasDraft04 = false) {
    this.#root = root;
    this.#hasIds = hasIds;
    if (hasIds || hasDraft04) this.#collect(root, [], DOCUMENT_BASE);
  }

  /** The schema resource that a place is of: the URI of its nearest `$id`. */
  resourceOf(path: Path): string {
    return this.#baseOf(path);
  }

  /** The `$schema` in force at a place, as it is said by a schema around it; undefined: none says. */
  dialectAt(path: Path): string | undefined {
    let value = this.#root;
    let dialect: string | undefined;
    for (const step of path) {
      value = value === this.#root && step === META_SCHEMAS ? metaSchemas : childOf(value, step);
      if (isRecord(value) && typeof value.$schema === 'string') dialect = value.$schema.replace(/#$/, '');
    }
    return dialect;
  }

  /** Places of the schemas of a resource that have a `$dynamicAnchor`. */
  dynamicAnchorsOf(resource: string): ReadonlyMap<string, Path> {
    return this.#dynamicAnchors.get(resource) ?? NO_ANCHORS;
  }

  /** What a `$dynamicRef` at a place names, and its anchor where it is found by the dynamic scope (§8.2.3.2). */
  resolveDynamic(reference: string, from: Path): { readonly target: Located; readonly anchor: string | undefined } {
    const target = this.resolve(reference, from, '$dynamicRef');
    const fragment = splitFragment(absoluteUri(reference, this.#baseOf(from)) ?? '')[1] ?? '';
    const isDynamic = this.dynamicAnchorsOf(this.#baseOf(target.path)).has(fragment);
    const isNamed = isRecord(target.value) && target.value.$dynamicAnchor === fragment;
    return { target, anchor: isDynamic && isNamed ? fragment : undefined };
  }

  /** The value itself, or what its chain of `$ref`s leads to. Throws SchemaFault. */
  follow(start: Located): Located {
    let located = start;
    for (let step = 0; isRecord(located.value) && typeof located.value.$ref === 'string'; step++) {
      if (step === MAX_REFERENCE_CHAIN)
        throw new SchemaFault(start.path, `more than ${MAX_REFERENCE_CHAIN} $refs in a row`);
      located = this.resolve(located.value.$ref, located.path);
    }
    return located;
  }

  /** What a `$ref` at a place names. Throws SchemaFault. */
  resolve(reference: string, from: Path, keyword = '$ref'): Located {
    const at = [...from, keyword];
    const absolute = absoluteUri(reference, this.#baseOf(from));
    if (absolute === undefined) throw new SchemaFault(at, `${keyword} ${reference} is not a URI reference`);
    const [resource = '', fragment = ''] = splitFragment(absolute);
    if (resource.includes('://json-schema.org/')) this.#addMetaSchemas();
    const start = this.#resources.get(resource);
    if (start === undefined)
      throw new SchemaFault(at, `${keyword} ${reference} leads out of the document; nothing is fetched`);
    if (fragment !== '' && !fragment.startsWith('/')) {
      const path = this.#anchors.get(`${resource}#${fragment}`);
      if (path === undefined) throw new SchemaFault(at, `$ref ${reference}: there is no $anchor ${fragment}`);
      return this.#at(path, at, reference);
    }
    return this.#at([...start, ...pointerSteps(fragment)], at, reference);
  }

  /** The value at a path, or undefined. */
  valueAt(path: Path): unknown {
    let value = this.#root;
    for (const step of path) value = value === this.#root && step === META_SCHEMAS ? metaSchemas : childOf(value, step);
    return value;
  }

  /** Only for documents that refer to them. */
  #addMetaSchemas(): void {
    if (this.#hasMetaSchemas) return;
    this.#hasMetaSchemas = true;
    for (const [index, schema] of metaSchemas.entries()) {
      const isDraft04 = isRecord(schema) && 'id' in schema;
      if (this.#hasIds !== isDraft04) this.#collect(schema, [META_SCHEMAS, index], DOCUMENT_BASE);
    }
  }

  #at(path: Path, from: Path, reference: string): Located {
    const value = this.valueAt(path);
    if (value === undefined) throw new SchemaFault(from, `$ref ${reference} leads nowhere`);
    return { value, path };
  }

  /** The base URI in force at a place: that of the nearest `$id` on the way to it. */
  #baseOf(path: Path): string {
    if (this.#resources.size === 1) return DOCUMENT_BASE;
    let base = DOCUMENT_BASE;
    let value = this.#root;
    let isDraft04 = false;
    for (const step of path) {
      value = value === this.#root && step === META_SCHEMAS ? metaSchemas : childOf(value, step);
      isDraft04 ||= !this.#hasIds && isOfDraft04(value);
      base = baseWithin(idOf(value, this.#hasIds, isDraft04), base);
    }
    return base;
  }

  /** To a `$ref` it is an anchor like any other. */
  #addDynamicAnchor(resource: string, anchor: string, path: Path): void {
    if (!this.#anchors.has(`${resource}#${anchor}`)) this.#anchors.set(`${resource}#${anchor}`, path);
    const known = this.#dynamicAnchors.get(resource);
    if (known === undefined) this.#dynamicAnchors.set(resource, new Map([[anchor, path]]));
    else known.set(anchor, path);
  }

  #collect(value: unknown, path: Path, outerBase: string, isWithinDraft04 = false): void {
    if (Array.isArray(value)) {
      value.forEach((item: unknown, index) => {
        this.#collect(item, [...path, index], outerBase, isWithinDraft04);
      });
      return;
    }
    if (!isRecord(value)) return;
    const isDraft04 = isWithinDraft04 || (!this.#hasIds && isOfDraft04(value));
    const id = idOf(value, this.#hasIds, isDraft04);
    const base = baseWithin(id, outerBase);
    if (isDraft04 && id?.startsWith('#') === true) this.#anchors.set(outerBase + id, path);
    if (base !== outerBase && !this.#resources.has(base)) this.#resources.set(base, path);
    if (this.#hasIds && typeof value.$anchor === 'string') this.#anchors.set(`${base}#${value.$anchor}`, path);
    if (this.#hasIds && typeof value.$dynamicAnchor === 'string')
      this.#addDynamicAnchor(base, value.$dynamicAnchor, path);
    for (const [key, child] of Object.entries(value)) {
      if (!DATA_KEYWORDS.has(key)) this.#collect(child, [...path, key], base, isDraft04);
    }
  }
}

const NO_ANCHORS: ReadonlyMap<string, Path> = new Map();

const DRAFT_04 = 'http://json-schema.org/draft-04/schema';

/** OpenAPI 3.0 has no identifiers of schemas; a schema that says that it is of draft-04 has. */
function isOfDraft04(value: unknown): boolean {
  return isRecord(value) && typeof value.$schema === 'string' && value.$schema.replace(/#$/, '') === DRAFT_04;
}

function idOf(value: unknown, hasIds: boolean, isDraft04: boolean): string | undefined {
  if (!isRecord(value)) return undefined;
  const id = hasIds ? value.$id : value.id;
  // In draft-04 nothing stands beside a $ref.
  const counts = hasIds || (isDraft04 && !('$ref' in value));
  return counts && typeof id === 'string' ? id : undefined;
}

function baseWithin(id: string | undefined, outer: string): string {
  return id === undefined ? outer : (splitFragment(absoluteUri(id, outer) ?? outer)[0] ?? outer);
}

function absoluteUri(reference: string, base: string): string | undefined {
  // A fragment alone is of the base, also where that is a URN, which URL cannot resolve against.
  if (reference.startsWith('#')) return base + reference;
  return URL.canParse(reference, base) ? new URL(reference, base).href : undefined;
}

function splitFragment(uri: string): readonly string[] {
  const hash = uri.indexOf('#');
  return hash < 0 ? [uri, ''] : [uri.slice(0, hash), uri.slice(hash + 1)];
}

/** RFC 6901 §6: a JSON Pointer as a URI fragment. */
export function pointerSteps(fragment: string): Path {
  if (fragment === '') return [];
  let decoded = fragment;
  try {
    decoded = decodeURIComponent(fragment);
  } catch {
    // Taken as written: the lookup fails and says so.
  }
  return decoded
    .slice(1)
    .split('/')
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function childOf(value: unknown, step: string | number): unknown {
  if (Array.isArray(value)) {
    const item: unknown = value[Number(step)];
    return item;
  }
  return isRecord(value) && Object.hasOwn(value, step) ? value[step] : undefined;
}
