import { isRecord, type Path } from '../schema/schema.ts';
import type { ArrayShape, ObjectShape, PrimitiveShape, PrimitiveType, TextShape } from './api-model.ts';
import { type Located, type References, SchemaFault } from './schema-references.ts';

/** Longer chains of allOf, anyOf and $ref are refused. */
const MAX_SHAPE_DEPTH = 16;

/** In this order a text is tried as a type: the stricter first. */
const PRIMITIVES: readonly PrimitiveType[] = ['integer', 'number', 'boolean', 'string'];

/** What a schema says about the form of its values, gathered over $ref, allOf, anyOf and oneOf. */
interface Form {
  /** Undefined: any. Without null, which no text stands for. */
  types: ReadonlySet<string> | undefined;
  items: Located | undefined;
  readonly properties: Map<string, Located>;
  /** `additionalProperties` where it allows some. */
  additional: Located | undefined;
}

/**
 * How text becomes a value of the schema at a place: by the declared types alone, never by looks. Throws
 * SchemaFault for forms that text cannot be turned into without guessing.
 */
export function textShape(schema: Located, references: References): TextShape {
  const form = gather(schema, references, 0);
  const types = form.types ?? inferred(form);
  if (types.has('array')) {
    only(types, 'array', schema.path);
    return arrayShape(form, references);
  }
  if (types.has('object')) {
    only(types, 'object', schema.path);
    return objectShape(form, schema.path, references);
  }
  return primitive(types);
}

/** Alternatives of one parameter; each is tried on each text. */
const MAX_ALTERNATIVE_SHAPES = 8;

/**
 * The shapes that a text is tried as, in their order; more than one where the schema has alternatives of lists, objects and others
 * (`anyOf` of a string and a list). Throws SchemaFault.
 */
export function textShapes(schema: Located, references: References): readonly TextShape[] {
  const { value, path } = references.follow(schema);
  const keyword = isRecord(value)
    ? (['oneOf', 'anyOf'] as const).find((name) => Array.isArray(value[name]))
    : undefined;
  if (!isRecord(value) || keyword === undefined) return [textShape(schema, references)];
  try {
    return [textShape(schema, references)];
  } catch (error) {
    if (!(error instanceof SchemaFault)) throw error;
    const shapes = branches(value, path, keyword).flatMap((branch) => textShapes(branch, references));
    const distinct = new Map(shapes.map((shape) => [JSON.stringify(shape), shape]));
    if (distinct.size > MAX_ALTERNATIVE_SHAPES) throw error;
    return [...distinct.values()];
  }
}

function arrayShape(form: Form, references: References): ArrayShape {
  if (form.items === undefined) return { kind: 'array', items: { kind: 'primitive', types: ['string'] } };
  return { kind: 'array', items: single(textShape(form.items, references), form.items.path) };
}

function objectShape(form: Form, path: Path, references: References): ObjectShape {
  const properties = [...form.properties].map(([name, located]): [string, PrimitiveShape | ArrayShape] => {
    const shape = textShape(located, references);
    if (shape.kind === 'object')
      throw new SchemaFault(located.path, 'an object within an object cannot be read from text');
    return [name, shape.kind === 'primitive' ? single(shape, located.path) : shape];
  });
  const { additional } = form;
  if (additional === undefined)
    return { kind: 'object', properties: Object.fromEntries(properties), additional: undefined };
  const shape = additional.value === true ? textShapeOfAny() : textShape(additional, references);
  return { kind: 'object', properties: Object.fromEntries(properties), additional: single(shape, path) };
}

/** Within arrays and objects a text must have one type: trying all combinations would not end. */
function single(shape: TextShape, path: Path): PrimitiveShape {
  if (shape.kind !== 'primitive')
    throw new SchemaFault(path, `an ${shape.kind} within a list or object cannot be read from text`);
  if (shape.types.length > 1)
    throw new SchemaFault(path, `alternatives of types (${shape.types.join(', ')}) within a list or object`);
  return shape;
}

function textShapeOfAny(): PrimitiveShape {
  return { kind: 'primitive', types: ['string'] };
}

function primitive(types: ReadonlySet<string>): PrimitiveShape {
  const known = PRIMITIVES.filter((type) => types.has(type) && !(type === 'integer' && types.has('number')));
  return known.length === 0 ? textShapeOfAny() : { kind: 'primitive', types: known };
}

function only(types: ReadonlySet<string>, type: string, path: Path): void {
  if (types.size > 1) throw new SchemaFault(path, `alternatives of ${type} and other types in text`);
}

/** Without `type`: what the other keywords are about. */
function inferred(form: Form): ReadonlySet<string> {
  if (form.properties.size > 0) return new Set(['object']);
  if (form.items !== undefined) return new Set(['array']);
  return new Set(['string']);
}

function gather(start: Located, references: References, depth: number): Form {
  if (depth > MAX_SHAPE_DEPTH)
    throw new SchemaFault(start.path, `more than ${MAX_SHAPE_DEPTH} levels of alternatives in text`);
  const { value, path } = references.follow(start);
  const form: Form = { types: undefined, items: undefined, properties: new Map(), additional: undefined };
  if (!isRecord(value)) return form;
  form.types = declaredTypes(value);
  if ('items' in value) form.items = { value: value.items, path: [...path, 'items'] };
  const { properties, additionalProperties } = value;
  if (isRecord(properties)) {
    for (const [name, schema] of Object.entries(properties)) {
      form.properties.set(name, { value: schema, path: [...path, 'properties', name] });
    }
  }
  if (additionalProperties === true || isRecord(additionalProperties)) {
    form.additional = { value: additionalProperties, path: [...path, 'additionalProperties'] };
  }
  for (const part of branches(value, path, 'allOf')) narrow(form, gather(part, references, depth + 1));
  for (const keyword of ['anyOf', 'oneOf']) {
    const parts = branches(value, path, keyword).map((part) => gather(part, references, depth + 1));
    if (parts.length > 0) narrow(form, alternatives(parts, path));
  }
  return form;
}

function branches(value: { readonly [key: string]: unknown }, path: Path, keyword: string): readonly Located[] {
  const parts = value[keyword];
  if (!Array.isArray(parts)) return [];
  return parts.map((part: unknown, index) => ({ value: part, path: [...path, keyword, index] }));
}

function declaredTypes(value: { readonly [key: string]: unknown }): ReadonlySet<string> | undefined {
  const { type } = value;
  const types = typeof type === 'string' ? [type] : Array.isArray(type) ? type.map(String) : valueTypes(value);
  if (types === undefined) return undefined;
  const withoutNull = types.filter((name) => name !== 'null');
  return withoutNull.length === 0 ? undefined : new Set(withoutNull);
}

/** Types of the values of `enum` or `const`. */
function valueTypes(value: { readonly [key: string]: unknown }): readonly string[] | undefined {
  const values: readonly unknown[] | undefined =
    'const' in value ? [value.const] : Array.isArray(value.enum) ? value.enum : undefined;
  return values?.map((item) => {
    if (item === null) return 'null';
    if (Array.isArray(item)) return 'array';
    return typeof item;
  });
}

/** Both hold. */
function narrow(form: Form, other: Form): void {
  const { types } = form;
  if (types === undefined) form.types = other.types;
  else if (other.types !== undefined) form.types = common(types, other.types);
  form.items ??= other.items;
  form.additional ??= other.additional;
  for (const [name, located] of other.properties) if (!form.properties.has(name)) form.properties.set(name, located);
}

function common(left: ReadonlySet<string>, right: ReadonlySet<string>): ReadonlySet<string> {
  const both = new Set([...left].filter((type) => right.has(type) || (type === 'integer' && right.has('number'))));
  if (left.has('number') && right.has('integer')) both.add('integer');
  return both;
}

/** One of them holds. */
function alternatives(parts: readonly Form[], path: Path): Form {
  const types = parts.every((part) => part.types !== undefined)
    ? new Set(parts.flatMap((part) => [...(part.types ?? [])]))
    : undefined;
  const isStructured = parts.some((part) => part.properties.size > 0 || part.items !== undefined);
  if (isStructured && parts.length > 1) throw new SchemaFault(path, 'alternatives of lists or objects in text');
  const [first] = parts;
  return first !== undefined && parts.length === 1
    ? first
    : { types, items: undefined, properties: new Map(), additional: undefined };
}
