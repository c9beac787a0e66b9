import { isRecord, type Path } from '../../schema/schema.ts';
import type { ArrayShape, ObjectShape, PrimitiveShape, PrimitiveType, TextShape } from '../api-model.ts';
import { type Located, type References, SchemaFault } from '../schema/schema-references.ts';

/** Longer chains of allOf, anyOf and $ref are refused. */
const MAX_SHAPE_DEPTH = 16;

/** Forms that a text may have, lists and objects told apart; schemas with more are refused. */
const MAX_ALTERNATIVES = 8;

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
  const [shape, ...more] = textShapes(schema, references);
  if (more.length > 0) throw new SchemaFault(schema.path, 'alternatives of lists or objects in text');
  return shape;
}

/** The same where several forms may be tried: the first whose value is valid counts. At most MAX_ALTERNATIVES. */
export function textShapes(schema: Located, references: References): readonly [TextShape, ...TextShape[]] {
  const shapes = new Map<string, TextShape>();
  for (const form of gather(schema, references, 0)) {
    for (const shape of shapesOf(form, schema.path, references)) shapes.set(JSON.stringify(shape), shape);
  }
  const [first = textShapeOfAny(), ...more] = shapes.values();
  return [first, ...more];
}

/** An object as text, and the properties that are written otherwise than the rest. */
export interface ParsedObject {
  readonly shape: ObjectShape;
  /** By name, in the order of the schema. */
  readonly apart: ReadonlyMap<string, Located>;
}

/** The same of an object, but for the properties that are set apart; undefined: it is none. */
export function objectShapeWithout(
  schema: Located,
  references: References,
  isApart: (name: string, property: Located) => boolean,
): ParsedObject | undefined {
  const apart = new Map<string, Located>();
  const shapes = new Map<string, TextShape>();
  for (const form of gather(schema, references, 0)) {
    const properties = new Map<string, Located>();
    for (const [name, property] of form.properties) {
      if (!isApart(name, property)) properties.set(name, property);
      else if (apart.has(name) && apart.get(name)?.value !== property.value)
        throw new SchemaFault(property.path, `alternatives of the property ${name} in text`);
      else apart.set(name, property);
    }
    const rest = { ...form, types: form.types ?? inferred(form), properties };
    for (const shape of shapesOf(rest, schema.path, references)) shapes.set(JSON.stringify(shape), shape);
  }
  const [shape, ...more] = shapes.values();
  if (more.length > 0) throw new SchemaFault(schema.path, 'alternatives of lists or objects in text');
  return shape?.kind === 'object' ? { shape, apart } : undefined;
}

/** Every value that a schema allows is an object, as far as its types say. */
export function isObjectSchema(schema: Located, references: References): boolean {
  return gather(schema, references, 0).every((form) => {
    const types = form.types ?? inferred(form);
    return types.size === 1 && types.has('object');
  });
}

/** Some value that a schema allows is a list, as far as its types say. */
export function allowsList(schema: Located, references: References): boolean {
  return gather(schema, references, 0).some((form) => (form.types ?? inferred(form)).has('array'));
}

function shapesOf(form: Form, path: Path, references: References): readonly TextShape[] {
  const types = form.types ?? inferred(form);
  const shapes: TextShape[] = [];
  if (types.has('array')) shapes.push(arrayShape(form, references));
  if (types.has('object')) shapes.push(objectShape(form, path, references));
  const isPrimitive = shapes.length === 0 || PRIMITIVES.some((type) => types.has(type));
  return isPrimitive ? [...shapes, primitive(types)] : shapes;
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
export function single(shape: TextShape, path: Path): PrimitiveShape {
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

/** Without `type`: what the other keywords are about. */
function inferred(form: Form): ReadonlySet<string> {
  if (form.properties.size > 0) return new Set(['object']);
  if (form.items !== undefined) return new Set(['array']);
  return new Set(['string']);
}

/** The forms that a schema allows: one, unless alternatives differ in more than the types of primitives. */
function gather(start: Located, references: References, depth: number): readonly Form[] {
  if (depth > MAX_SHAPE_DEPTH)
    throw new SchemaFault(start.path, `more than ${MAX_SHAPE_DEPTH} levels of alternatives in text`);
  const { value, path } = references.follow(start);
  const form: Form = { types: undefined, items: undefined, properties: new Map(), additional: undefined };
  if (!isRecord(value)) return [form];
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
  let forms: readonly Form[] = [form];
  for (const part of branches(value, path, 'allOf')) forms = each(forms, gather(part, references, depth + 1), path);
  for (const keyword of ['anyOf', 'oneOf']) {
    const parts = branches(value, path, keyword).flatMap((part) => gather(part, references, depth + 1));
    const others = alternatives(parts);
    if (others.length > 0) forms = each(forms, others, path);
  }
  return forms;
}

/** Both hold, in all combinations that are not contradictory. */
function each(forms: readonly Form[], others: readonly Form[], path: Path): readonly Form[] {
  const combined = forms.flatMap((form) => others.map((other) => narrowed(form, other)));
  const possible = combined.filter(({ types }) => types?.size !== 0);
  if (possible.length > MAX_ALTERNATIVES)
    throw new SchemaFault(path, `more than ${MAX_ALTERNATIVES} alternatives of lists or objects in text`);
  return possible.length > 0 ? possible : combined.slice(0, 1);
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
  return new Set(types.filter((name) => name !== 'null'));
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

function narrowed(form: Form, other: Form): Form {
  const { types } = form;
  return {
    types: types === undefined || other.types === undefined ? (types ?? other.types) : common(types, other.types),
    items: form.items ?? other.items,
    additional: form.additional ?? other.additional,
    properties: new Map([...other.properties, ...form.properties]),
  };
}

function common(left: ReadonlySet<string>, right: ReadonlySet<string>): ReadonlySet<string> {
  const both = new Set([...left].filter((type) => right.has(type) || (type === 'integer' && right.has('number'))));
  if (left.has('number') && right.has('integer')) both.add('integer');
  return both;
}

/** One of them holds: those without lists and objects are one form. */
function alternatives(parts: readonly Form[]): readonly Form[] {
  const isStructured = ({ types, items, properties }: Form) =>
    items !== undefined || properties.size > 0 || types?.has('array') || types?.has('object');
  const structured = parts.filter(isStructured);
  const plain = parts.filter((part) => !isStructured(part));
  const typed = plain.flatMap(({ types }) => (types === undefined ? [] : [...types]));
  const form = { items: undefined, properties: new Map(), additional: undefined };
  return [
    ...structured,
    ...(typed.length > 0 ? [{ ...form, types: new Set(typed) }] : []),
    ...(plain.some(({ types }) => types === undefined) ? [{ ...form, types: undefined }] : []),
  ];
}
