import { isRecord, type Path } from '../../schema/schema.ts';
import { CHOICE_KEYWORD } from './choice-error.ts';
import type { ConvertedSchema, SchemaUnit } from './converted-schema.ts';
import { KNOWN_FORMATS } from './format-names.ts';
import { keywordComplaint } from './keyword-values.ts';
import { DIALECTS, type OpenApiVersion } from './openapi-version.ts';
import { compilePattern, PatternNotEnforceable } from './pattern.ts';
import { type References, SchemaFault } from './schema-references.ts';

/** Deeper schemas are refused: generating code recurses. */
export const MAX_SCHEMA_DEPTH = 100;
/** Keyword by which a schema counts what holding a value against it costs at most, what it refers to aside (see work-budget.ts). */
export const WORK_KEYWORD = 'x-lateral-work';

/** What one call of a schema by another costs, in units of work. */
const CALL_WORK = 40;
/** What trying an alternative costs: mostly the error that it keeps. */
const BRANCH_WORK = 10;
/** A value is one byte at least, and a comma: those of a body that is judged at once are over in some milliseconds. */
const MAX_UNCOUNTED_WORK = 8;

/** Keyword by which a schema counts the items it is tried on although others failed (`contains`). */
export const ITEM_WORK_KEYWORD = 'x-lateral-item-work';

interface Keywords {
  /** Kept as they are. */
  readonly plain: ReadonlySet<string>;
  readonly schema: ReadonlySet<string>;
  readonly schemaList: ReadonlySet<string>;
  readonly schemaMap: ReadonlySet<string>;
}

const PLAIN = [
  ...['type', 'format', 'multipleOf', 'maximum', 'exclusiveMaximum', 'minimum', 'exclusiveMinimum', 'maxLength'],
  ...['minLength', 'pattern', 'maxItems', 'minItems', 'uniqueItems', 'maxProperties', 'minProperties'],
  ...['required', 'enum'],
];

/**
 * Source: OpenAPI 3.0 §4.7.24, and what else its base, JSON Schema draft-04, has: documents use it, and what they say is enforced rather
 * than refused.
 */
const KEYWORDS_3_0: Keywords = {
  plain: new Set(PLAIN),
  schema: new Set(['not', 'items', 'additionalProperties', 'additionalItems']),
  schemaList: new Set(['allOf', 'anyOf', 'oneOf']),
  schemaMap: new Set(['properties', 'patternProperties']),
};

/** Source: JSON Schema 2020-12, vocabularies applicator, validation, unevaluated, format. */
const KEYWORDS_3_1: Keywords = {
  plain: new Set([...PLAIN, 'const', 'maxContains', 'minContains', 'dependentRequired']),
  schema: new Set([
    ...['not', 'items', 'additionalProperties'],
    ...['if', 'then', 'else', 'contains', 'propertyNames', 'unevaluatedItems', 'unevaluatedProperties'],
  ]),
  schemaList: new Set([...KEYWORDS_3_0.schemaList, 'prefixItems']),
  schemaMap: new Set([...KEYWORDS_3_0.schemaMap, 'dependentSchemas']),
};

/** What a 3.0 schema may hold besides: says nothing about what is valid. */
const ANNOTATIONS_3_0 = new Set([
  ...['title', 'description', 'default', 'example', 'xml', 'externalDocs', 'deprecated', 'readOnly', 'writeOnly'],
  // Not of 3.0, but common and without effect in later versions too.
  ...['discriminator', 'nullable', 'examples', '$comment'],
  // Of draft-04: read by references, or where another refers to them.
  ...['id', 'definitions'],
]);

/** Of JSON Schema 2019-09; 2020-12 does not know it. */
const NOT_IMPLEMENTED = new Set(['$recursiveRef']);

const DRAFT_04: ReadonlySet<unknown> = new Set([
  'http://json-schema.org/draft-04/schema#',
  'http://json-schema.org/draft-04/schema',
]);

/** What a schema describes: `readOnly` and `writeOnly` make a difference. */
export type Direction = 'request' | 'response';

/**
 * To a schema that says itself that it is of this dialect `format` is an annotation (2020-12, Core §8.1.2; Validation §7.2.1). In the
 * dialect of OpenAPI documents it asserts: nobody writes `format: uuid` to have anything accepted.
 */
const PLAIN_DIALECT = 'https://json-schema.org/draft/2020-12/schema';

/** Something that a schema says and that is not enforced as it stands. */
export interface Notice {
  readonly path: Path;
  readonly code: 'pattern_not_enforceable' | 'format_not_enforced';
  readonly message: string;
}

/** The schemas of one document for one direction, converted once each, when something refers to them. */
export class SchemaConverter {
  readonly #references: References;
  readonly #version: OpenApiVersion;
  readonly #keywords: Keywords;
  readonly #names = new Map<string, string>();
  readonly #pathsOfNames = new Map<string, Path>();
  readonly #converted = new Map<string, ConvertedSchema | SchemaFault>();
  readonly #direction: Direction;
  readonly #notices = new Map<string, Notice>();
  /** Schemas that can be checked, with all that they refer to. */
  readonly #sound = new Set<string>();
  /** Schemas that cannot, or refer to such. */
  readonly #faulty = new Map<string, SchemaFault>();
  /** Of the schema that is being converted. */
  #assertsFormats = true;

  constructor(references: References, version: OpenApiVersion, direction: Direction = 'request') {
    this.#references = references;
    this.#version = version;
    this.#direction = direction;
    this.#keywords = version === '3.0' ? KEYWORDS_3_0 : KEYWORDS_3_1;
  }

  /** The name under which the schema at a path is known to Ajv; equal for equal paths. */
  nameOf(path: Path): string {
    const key = JSON.stringify(path.map(String));
    const known = this.#names.get(key);
    if (known !== undefined) return known;
    const name = `${this.#direction}:${this.#names.size}`;
    this.#names.set(key, name);
    this.#pathsOfNames.set(name, path);
    return name;
  }

  /** What the schemas converted so far say that is not enforced. */
  get notices(): readonly Notice[] {
    return [...this.#notices.values()];
  }

  /** The place of the schema that is known by a name. */
  pathOf(name: string): Path {
    return this.#pathsOfNames.get(name) ?? [];
  }

  /**
   * The schema at a path and all that it refers to, by name. Throws the SchemaFault of any of them: what is
   * only partly checked is not checked.
   */
  closure(path: Path): ReadonlyMap<string, ConvertedSchema> {
    const found = new Map<string, ConvertedSchema>();
    const entered = new Set<string>();
    let isDynamic = false;
    let open = [this.nameOf(path)];
    while (open.length > 0) {
      for (let name = open.pop(); name !== undefined; name = open.pop()) {
        if (found.has(name)) continue;
        const { schema, references } = this.#convert(name);
        found.set(name, schema);
        open.push(...references);
        entered.add(this.#resourceOf(name));
        isDynamic ||= this.#dynamic.has(name);
      }
      // What a $dynamicRef leads to depends on the resources that were entered before it.
      open = isDynamic ? this.#dynamicTargets(entered).filter((name) => !found.has(name)) : [];
    }
    return found;
  }

  /**
   * Why the schema at a path, or one that it refers to, cannot be checked; undefined: it can. However many schemas are asked about, those
   * that are known by then are not walked again.
   */
  faultOf(path: Path): SchemaFault | undefined {
    const start = this.nameOf(path);
    if (this.#sound.has(start)) return undefined;
    const known = this.#faulty.get(start);
    if (known !== undefined) return known;
    try {
      const found = this.#soundClosure(path, start);
      for (const name of found) this.#sound.add(name);
      return undefined;
    } catch (error) {
      if (!(error instanceof SchemaFault)) throw error;
      return error;
    }
  }

  /** Names of the schemas that are sound as this one is; none where what a `$dynamicRef` leads to depends on where it is come from. */
  #soundClosure(path: Path, start: string): Iterable<string> {
    const referredBy = new Map<string, string | undefined>([[start, undefined]]);
    const open = [start];
    for (let name = open.pop(); name !== undefined; name = open.pop()) {
      for (const reference of this.#referencesFrom(name, referredBy)) {
        if (this.#sound.has(reference) || referredBy.has(reference)) continue;
        referredBy.set(reference, name);
        open.push(reference);
      }
      if (this.#dynamic.has(name)) {
        this.closure(path);
        return [];
      }
    }
    return referredBy.keys();
  }

  /** What a schema refers to. Throws the fault of the schema, which is then that of all on the way to it. */
  #referencesFrom(name: string, referredBy: ReadonlyMap<string, string | undefined>): readonly string[] {
    const known = this.#faulty.get(name);
    try {
      if (known !== undefined) throw known;
      return this.#convert(name).references;
    } catch (error) {
      for (let at: string | undefined = name; at !== undefined && error instanceof SchemaFault; at = referredBy.get(at))
        this.#faulty.set(at, error);
      throw error;
    }
  }

  #dynamicTargets(resources: ReadonlySet<string>): readonly string[] {
    return [...resources].flatMap((resource) =>
      [...this.#references.dynamicAnchorsOf(resource).values()].map((path) => this.nameOf(path)),
    );
  }

  #resourceOf(name: string): string {
    return this.#references.resourceOf(this.pathOf(name));
  }

  /**
   * How a closure is compiled. `evaluated`: Ajv would judge it wrongly, or die of it (evaluate-schema.ts). `whole`: as one module. `linked`: a
   * unit a schema.
   */
  kindOf(closure: ReadonlyMap<string, ConvertedSchema>): 'linked' | 'whole' | 'evaluated' {
    const names = [...closure.keys()];
    if (names.some((name) => this.#unfit.has(name))) return 'evaluated';
    if (!names.some((name) => this.#asksForRest.has(name))) return 'linked';
    if (names.some((name) => mentions(closure.get(name), [CHOICE_KEYWORD]))) return 'evaluated';
    return names.some((name) => hasHalfCondition(closure.get(name))) ? 'evaluated' : 'whole';
  }

  /** A closure as `SchemaEvaluator` takes it. */
  schemaUnit(exported: { readonly [name: string]: string }, closure: ReadonlyMap<string, ConvertedSchema>): SchemaUnit {
    const resources = new Map([...closure.keys()].map((name) => [name, this.#resourceOf(name)]));
    const dynamicAnchors = new Map(
      [...new Set(resources.values())].map((resource) => [
        resource,
        new Map([...this.#references.dynamicAnchorsOf(resource)].map(([anchor, path]) => [anchor, this.nameOf(path)])),
      ]),
    );
    return { kind: 'schema', exported, schemas: closure, resources, dynamicAnchors };
  }

  readonly #referencesOf = new Map<string, readonly string[]>();
  /** Schemas that have a `$dynamicRef`. */
  readonly #dynamic = new Set<string>();
  /** Schemas with `unevaluatedProperties`. */
  readonly #asksForRest = new Set<string>();
  /** Schemas that Ajv judges wrongly. */
  readonly #unfit = new Set<string>();

  #convert(name: string): { readonly schema: ConvertedSchema; readonly references: readonly string[] } {
    const known = this.#converted.get(name);
    if (known instanceof SchemaFault) throw known;
    if (known !== undefined) return { schema: known, references: this.#referencesOf.get(name) ?? [] };
    const path = this.pathOf(name);
    const references: string[] = [];
    this.#assertsFormats = this.#references.dialectAt(path) !== PLAIN_DIALECT;
    try {
      const schema = this.#schema(this.#references.valueAt(path), path, 0, references);
      const counted = typeof schema === 'boolean' ? schema : counting(schema);
      this.#converted.set(name, counted);
      this.#referencesOf.set(name, references);
      if (mentions(counted, ['$dynamicRef'])) this.#dynamic.add(name);
      if (mentions(counted, ['unevaluatedProperties'])) this.#asksForRest.add(name);
      if (mentions(counted, UNFIT_FOR_AJV) || hasUnfitValue(counted)) this.#unfit.add(name);
      return { schema: counted, references };
    } catch (error) {
      if (error instanceof SchemaFault) this.#converted.set(name, error);
      throw error;
    }
  }

  #schema(value: unknown, path: Path, depth: number, references: string[]): ConvertedSchema {
    if (depth > MAX_SCHEMA_DEPTH) throw new SchemaFault(path, `schema nested deeper than ${MAX_SCHEMA_DEPTH} levels`);
    if (typeof value === 'boolean') return value;
    if (!isRecord(value)) throw new SchemaFault(path, 'expected a schema');
    if (depth > 0 && this.#version === '3.1' && typeof value.$id === 'string') {
      // A resource of its own, whose dynamic anchors count from where it is entered.
      const name = this.nameOf(path);
      references.push(name);
      return { $ref: name };
    }
    const converted: { [keyword: string]: unknown } = {};
    if (typeof value.$ref === 'string') {
      const name = this.nameOf(this.#references.resolve(value.$ref, path).path);
      references.push(name);
      converted.$ref = name;
      // OpenAPI 3.0 §4.7.23: what stands beside a $ref is ignored; in 3.1 it holds as well.
      if (this.#version === '3.0') return converted;
    }
    for (const [keyword, content] of Object.entries(value)) {
      const at = [...path, keyword];
      if (keyword === 'format' && !this.#assertsFormats) continue;
      if (this.#keywords.plain.has(keyword)) converted[keyword] = this.#plain(keyword, content, at);
      else if (keyword === 'dependencies') this.#dependencies(converted, content, at, depth, references);
      else if (keyword === 'items' && this.#version === '3.0' && Array.isArray(content))
        converted[keyword] = content.map((item: unknown, index) =>
          this.#schema(item, [...at, index], depth + 1, references),
        );
      else if (keyword === 'contains' && this.#version === '3.1')
        converted[keyword] = this.#contains(content, at, depth, references);
      else if (this.#keywords.schema.has(keyword))
        converted[keyword] = this.#schema(content, at, depth + 1, references);
      else if (this.#keywords.schemaList.has(keyword))
        converted[keyword] = [...listOf(converted[keyword]), ...this.#list(content, at, depth, references)];
      else if (this.#keywords.schemaMap.has(keyword)) converted[keyword] = this.#map(content, at, depth, references);
      else this.#refuseUnknown(keyword, content, at);
    }
    if (typeof value.$dynamicRef === 'string' && this.#version === '3.1') {
      const { target, anchor } = this.#references.resolveDynamic(value.$dynamicRef, path);
      const name = this.nameOf(target.path);
      references.push(name);
      converted.$dynamicRef = { name, anchor };
    }
    this.#choose(converted, value, path);
    this.#tidy(converted, value, path);
    return converted;
  }

  #plain(keyword: string, value: unknown, path: Path): unknown {
    const complaint = keywordComplaint(keyword, value, this.#version);
    if (complaint !== undefined) throw new SchemaFault(path, complaint);
    if (keyword === 'format' && typeof value === 'string') this.#checkFormat(value, path);
    return value;
  }

  /** `contains` tries all items, and keeps an error of each that fails. */
  #contains(value: unknown, path: Path, depth: number, references: string[]): ConvertedSchema {
    const schema = this.#schema(value, path, depth + 1, references);
    return typeof schema === 'boolean' ? schema : { ...schema, [ITEM_WORK_KEYWORD]: true };
  }

  #list(value: unknown, path: Path, depth: number, references: string[]): readonly ConvertedSchema[] {
    if (!Array.isArray(value) || value.length === 0) throw new SchemaFault(path, 'expected a list of schemas');
    return value.map((item: unknown, index) => this.#schema(item, [...path, index], depth + 1, references));
  }

  #map(value: unknown, path: Path, depth: number, references: string[]): ConvertedSchema {
    if (!isRecord(value)) throw new SchemaFault(path, 'expected a mapping of names to schemas');
    const isByPattern = path.at(-1) === 'patternProperties';
    const entries = Object.entries(value).map(([name, schema]): [string, ConvertedSchema] => {
      if (isByPattern) this.#checkPattern(name, [...path, name]);
      return [name, this.#schema(schema, [...path, name], depth + 1, references)];
    });
    return Object.fromEntries(entries);
  }

  /**
   * Of draft-04 (Validation §5.4.5): names that a property needs, or a schema. Later drafts have a keyword for each; documents of 3.1 that
   * still have this one mean it.
   */
  #dependencies(
    converted: { [keyword: string]: unknown },
    value: unknown,
    path: Path,
    depth: number,
    references: string[],
  ): void {
    if (!isRecord(value)) throw new SchemaFault(path, 'expected a mapping of names to names or schemas');
    const entries = Object.entries(value).map(([name, dependency]): [string, unknown] => {
      const isNames = Array.isArray(dependency) && dependency.every((other) => typeof other === 'string');
      return [name, isNames ? dependency : this.#schema(dependency, [...path, name], depth + 1, references)];
    });
    if (this.#version === '3.0') {
      converted.dependencies = Object.fromEntries(entries);
      return;
    }
    const names = entries.filter(([, dependency]) => Array.isArray(dependency));
    const schemas = entries.filter(([, dependency]) => !Array.isArray(dependency));
    converted.allOf = [
      ...listOf(converted.allOf),
      { dependentRequired: Object.fromEntries(names), dependentSchemas: Object.fromEntries(schemas) },
    ];
  }

  /** One that is no pattern at all is a fault of its schema; one that cannot be enforced is one of the texts that come to it. */
  #checkPattern(pattern: string, path: Path): void {
    try {
      compilePattern(pattern);
    } catch (error) {
      if (!(error instanceof PatternNotEnforceable)) {
        throw new SchemaFault(path, `pattern ${JSON.stringify(pattern)} cannot be compiled: ${reason(error)}`);
      }
      this.#notices.set(JSON.stringify(path), { path, code: 'pattern_not_enforceable', message: error.message });
    }
  }

  /** Told once for each format. */
  #checkFormat(format: string, path: Path): void {
    if (KNOWN_FORMATS.has(format) || this.#notices.has(format)) return;
    const message = `format ${JSON.stringify(format)} is not one that is known: any value has it`;
    this.#notices.set(format, { path, code: 'format_not_enforced', message });
  }

  /**
   * A discriminator says by the value of a property which of the alternatives is meant: that one alone is tried, whatever their number. Only
   * where every alternative is a reference; without it all of them are tried, as without a discriminator. Source: OpenAPI 3.1 §4.8.25.
   */
  #choose(converted: { [keyword: string]: unknown }, source: { readonly [key: string]: unknown }, path: Path): void {
    const { discriminator } = source;
    const keyword = (['oneOf', 'anyOf'] as const).find((name) => Array.isArray(source[name]));
    if (!isRecord(discriminator) || typeof discriminator.propertyName !== 'string' || keyword === undefined) return;
    const alternatives: readonly unknown[] = listOf(source[keyword]);
    const names = new Set<string>();
    const branches = new Map<string, string>();
    for (const [index, alternative] of alternatives.entries()) {
      if (!isRecord(alternative) || typeof alternative.$ref !== 'string') return;
      const target = this.#references.resolve(alternative.$ref, [...path, keyword, index]).path;
      const name = this.nameOf(target);
      names.add(name);
      branches.set(String(target.at(-1)), name);
    }
    for (const [tag, target] of isRecord(discriminator.mapping) ? Object.entries(discriminator.mapping) : []) {
      const name = this.#mappedName(String(target), path);
      if (name !== undefined && names.has(name)) branches.set(tag, name);
    }
    delete converted[keyword];
    converted[CHOICE_KEYWORD] = { property: discriminator.propertyName, branches: Object.fromEntries(branches) };
  }

  /** A name of components, or a reference. */
  #mappedName(target: string, path: Path): string | undefined {
    const byName: Path = ['components', 'schemas', target];
    if (this.#references.valueAt(byName) !== undefined) return this.nameOf(byName);
    try {
      return this.nameOf(this.#references.resolve(target, path).path);
    } catch (error) {
      if (error instanceof SchemaFault) return undefined;
      throw error;
    }
  }

  /** A keyword that would be dropped although its author relies on it is a fault. */
  #refuseUnknown(keyword: string, value: unknown, path: Path): void {
    if (this.#version === '3.0') {
      if (ANNOTATIONS_3_0.has(keyword) || keyword.startsWith('x-')) return;
      if (keyword === '$schema' && DRAFT_04.has(value)) return;
      throw new SchemaFault(path, `keyword ${keyword} is not of OpenAPI 3.0 schemas`);
    }
    if (NOT_IMPLEMENTED.has(keyword)) {
      throw new SchemaFault(path, `${keyword} is not implemented in this version`);
    }
    if (keyword === '$schema' && !DIALECTS.has(String(value).replace(/#$/, ''))) {
      throw new SchemaFault(path, `the dialect ${String(value)} is not supported; expected JSON Schema 2020-12`);
    }
  }

  #tidy(converted: { [keyword: string]: unknown }, source: { readonly [key: string]: unknown }, path: Path): void {
    if (typeof converted.pattern === 'string') this.#checkPattern(converted.pattern, [...path, 'pattern']);
    // Repeated entries mean nothing, but the meta-schema refuses them.
    if (Array.isArray(converted.enum)) converted.enum = withoutRepeats(converted.enum);
    if (Array.isArray(converted.required)) converted.required = withoutRepeats(converted.required);
    // OpenAPI 3.0 §4.7.24.1: `nullable` adds null to `type`, and does nothing without it.
    const isNullable = this.#version === '3.0' && source.nullable === true;
    if (isNullable && typeof converted.type === 'string') converted.type = [converted.type, 'null'];
    this.#dropOtherDirection(converted, source, path);
  }

  /**
   * A required property that is `readOnly` is required of responses only, one that is `writeOnly` of requests only; a response
   * must not hold the latter (a password told is a fault). Source: OpenAPI 3.0 §4.7.24.2; JSON Schema 2020-12 validation §9.4.
   */
  #dropOtherDirection(
    converted: { [keyword: string]: unknown },
    source: { readonly [key: string]: unknown },
    path: Path,
  ): void {
    const { properties } = source;
    if (!isRecord(properties)) return;
    const keyword = this.#direction === 'request' ? 'readOnly' : 'writeOnly';
    const absent = new Set<unknown>(
      Object.keys(properties).filter((name) => {
        const located = { value: properties[name], path: [...path, 'properties', name] };
        return [located, this.#references.follow(located)].some(
          ({ value }) => isRecord(value) && value[keyword] === true,
        );
      }),
    );
    if (absent.size === 0) return;
    if (this.#direction === 'response' && isRecord(converted.properties)) {
      const kept = Object.entries(converted.properties).map(([name, schema]) => [
        name,
        absent.has(name) ? NEVER : schema,
      ]);
      converted.properties = Object.fromEntries(kept);
    }
    if (!Array.isArray(converted.required)) return;
    const required = converted.required.filter((name) => !absent.has(name));
    // Draft 04 wants at least one name.
    if (required.length > 0) converted.required = required;
    else delete converted.required;
  }
}

/** Schemas that others refer to, or that are held against so many values as a body has, count their work; of cheap ones the values' length is bound enough. */
function counting(schema: ConvertedSchema): ConvertedSchema {
  return isRecord(schema) ? { ...withinCounting(schema), [WORK_KEYWORD]: CALL_WORK + ownWork(schema) } : schema;
}

/** Keywords with a schema of items or properties, or several. */
const OF_CHILDREN: ReadonlySet<string> = new Set([
  ...['items', 'prefixItems', 'additionalItems', 'contains', 'unevaluatedItems'],
  ...['additionalProperties', 'propertyNames', 'unevaluatedProperties'],
]);
const OF_NAMED_CHILDREN: ReadonlySet<string> = new Set(['properties', 'patternProperties']);
const IN_PLACE: ReadonlySet<string> = new Set(['allOf', 'anyOf', 'oneOf', 'not', 'if', 'then', 'else']);
const NAMED_IN_PLACE: ReadonlySet<string> = new Set(['dependentSchemas', 'dependencies']);

function withinCounting(schema: { readonly [keyword: string]: unknown }): { readonly [keyword: string]: unknown } {
  const entries = Object.entries(schema).map(([keyword, value]): [string, unknown] => {
    if (OF_CHILDREN.has(keyword)) return [keyword, eachSchema(value, countingChild)];
    if (OF_NAMED_CHILDREN.has(keyword)) return [keyword, eachNamed(value, countingChild)];
    if (IN_PLACE.has(keyword)) return [keyword, eachSchema(value, withinCounting)];
    return [keyword, NAMED_IN_PLACE.has(keyword) ? eachNamed(value, withinCounting) : value];
  });
  return Object.fromEntries(entries);
}

function countingChild(schema: { readonly [keyword: string]: unknown }): unknown {
  const work = ownWork(schema);
  return work > MAX_UNCOUNTED_WORK ? { ...withinCounting(schema), [WORK_KEYWORD]: work } : withinCounting(schema);
}

function eachSchema(value: unknown, change: (schema: { readonly [keyword: string]: unknown }) => unknown): unknown {
  if (Array.isArray(value)) return value.map((item: unknown) => eachSchema(item, change));
  return isRecord(value) ? change(value) : value;
}

function eachNamed(value: unknown, change: (schema: { readonly [keyword: string]: unknown }) => unknown): unknown {
  if (!isRecord(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, schema]) => [name, isRecord(schema) ? change(schema) : schema]),
  );
}

/** In units of work, what a value takes that has nothing of what the schema looks for: absent properties are looked for too. */
function ownWork(schema: unknown): number {
  if (!isRecord(schema)) return 0;
  const { required, properties, dependentRequired, dependencies, dependentSchemas } = schema;
  let work = 1 + listOf(required).length;
  for (const named of [properties, dependentRequired, dependencies, dependentSchemas]) {
    if (isRecord(named)) work += Object.keys(named).length;
  }
  for (const [keyword, value] of Object.entries(schema)) {
    if (IN_PLACE.has(keyword)) for (const branch of branchesOf(value)) work += BRANCH_WORK + ownWork(branch);
    if (NAMED_IN_PLACE.has(keyword) && isRecord(value))
      for (const branch of Object.values(value)) work += ownWork(branch);
  }
  return work;
}

function branchesOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [value];
}

/** No value is valid (see schema-compiler.ts). */
const NEVER = { writeOnly: true };

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** Keywords that Ajv does not apply as the specification says. */
const UNFIT_FOR_AJV: readonly string[] = ['$dynamicRef', 'unevaluatedItems'];

function mentions(value: unknown, keywords: readonly string[]): boolean {
  if (Array.isArray(value)) return value.some((item) => mentions(item, keywords));
  if (!isRecord(value)) return false;
  return Object.entries(value).some(([name, child]) => keywords.includes(name) || mentions(child, keywords));
}

/** Longer lists of alternatives and properties are not made code of: it nests a level for each. */
const MAX_GENERATED_BRANCHES = 200;

/** An `enum` of nothing, which Ajv refuses; properties named `__proto__`, which it leaves out without a word; long lists. */
function hasUnfitValue(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(hasUnfitValue);
  if (!isRecord(value)) return false;
  const { allOf, anyOf, oneOf, properties } = value;
  const lists = [allOf, anyOf, oneOf, isRecord(properties) ? Object.keys(properties) : undefined];
  if (lists.some((list) => Array.isArray(list) && list.length > MAX_GENERATED_BRANCHES)) return true;
  if (Object.hasOwn(value, '__proto__') || (Array.isArray(value.enum) && value.enum.length === 0)) return true;
  return Object.values(value).some(hasUnfitValue);
}

/** Ajv does not see what an `if` without both `then` and `else` evaluates. */
function hasHalfCondition(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(hasHalfCondition);
  if (!isRecord(value)) return false;
  if ('if' in value && !('then' in value && 'else' in value)) return true;
  return Object.values(value).some(hasHalfCondition);
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function withoutRepeats(values: readonly unknown[]): readonly unknown[] {
  const seen = new Set<string>();
  return values.filter((value) => {
    const key = JSON.stringify(value);
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}
