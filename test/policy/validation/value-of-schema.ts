import fc from 'fast-check';
import { isRecord } from '#policy/schema/schema.ts';

type Json = { readonly [key: string]: unknown };

/** Deeper optional parts are left out: recursive schemas would not end. */
const MAX_DEPTH = 6;
/** A schema that requires itself has no value that ends: what is made then does not fit, and every judge says so. */
const MAX_REQUIRED_DEPTH = MAX_DEPTH + 4;

/** Looks up a local `$ref` of the document. */
export type Resolve = (reference: string) => unknown;

/**
 * Values that are valid by a schema of OpenAPI, made from its keywords alone: type, nullable, enum, const, bounds, pattern,
 * format, items, properties, required, additionalProperties, allOf (of objects), anyOf, oneOf (where the branches exclude each other).
 * Not made: what `not`, `if` and `patternProperties` say; who calls filters by a judge that does.
 */
export function valueOfSchema(schema: unknown, resolve: Resolve, depth = 0): fc.Arbitrary<unknown> {
  if (!isRecord(schema)) return fc.constantFrom<unknown>(null, 0, 'a', true);
  if (typeof schema.$ref === 'string') {
    const { $ref } = schema;
    if (depth > MAX_REQUIRED_DEPTH) return fc.constant(null);
    return late(() => valueOfSchema(resolve($ref), resolve, depth + 1));
  }
  if (depth > MAX_REQUIRED_DEPTH + 1) return fc.constant(null);
  if ('const' in schema) return fc.constant(schema.const);
  if (Array.isArray(schema.enum)) return fc.constantFrom(...(schema.enum as unknown[]));
  if (Array.isArray(schema.allOf)) return valueOfSchema(merged(schema, schema.allOf, resolve), resolve, depth);
  for (const keyword of ['oneOf', 'anyOf'] as const) {
    const branches = schema[keyword];
    if (!Array.isArray(branches) || branches.length === 0) continue;
    const { [keyword]: _, ...rest } = schema;
    return fc
      .constantFrom(...(branches as unknown[]))
      .chain((branch) => valueOfSchema(merged(rest, [branch], resolve), resolve, depth));
  }
  const types = typesOf(schema);
  return fc.constantFrom(...types).chain((type) => valueOfType(type, schema, resolve, depth));
}

function late<T>(make: () => fc.Arbitrary<T>): fc.Arbitrary<T> {
  return fc.constant(null).chain(make);
}

function typesOf(schema: Json): readonly string[] {
  const declared = Array.isArray(schema.type)
    ? schema.type.map(String)
    : schema.type === undefined
      ? []
      : [String(schema.type)];
  const types =
    declared.length > 0
      ? declared
      : isRecord(schema.properties)
        ? ['object']
        : 'items' in schema
          ? ['array']
          : ['string'];
  return schema.nullable === true ? [...types, 'null'] : types;
}

function valueOfType(type: string, schema: Json, resolve: Resolve, depth: number): fc.Arbitrary<unknown> {
  switch (type) {
    case 'null':
      return fc.constant(null);
    case 'boolean':
      return fc.boolean();
    case 'integer':
    case 'number':
      return numbers(schema, type === 'integer');
    case 'array':
      return arrays(schema, resolve, depth);
    case 'object':
      return objects(schema, resolve, depth);
    default:
      return strings(schema);
  }
}

function numbers(schema: Json, isInteger: boolean): fc.Arbitrary<number> {
  const at = (keyword: string) => (typeof schema[keyword] === 'number' ? schema[keyword] : undefined);
  const step = at('multipleOf') ?? (isInteger ? 1 : undefined);
  const isOpenBelow = schema.exclusiveMinimum === true || at('exclusiveMinimum') !== undefined;
  const isOpenAbove = schema.exclusiveMaximum === true || at('exclusiveMaximum') !== undefined;
  const least = at('exclusiveMinimum') ?? at('minimum') ?? (at('maximum') ?? 1_000) - 1_000;
  const most = at('exclusiveMaximum') ?? at('maximum') ?? Math.max(least, 0) + 1_000;
  if (step === undefined) {
    return fc
      .double({
        min: least,
        max: most,
        minExcluded: isOpenBelow,
        maxExcluded: isOpenAbove,
        noNaN: true,
        noDefaultInfinity: true,
      })
      .map((value) => (Object.is(value, -0) ? 0 : value));
  }
  const from = Math.ceil(least / step) + (isOpenBelow && Number.isInteger(least / step) ? 1 : 0);
  const to = Math.floor(most / step) - (isOpenAbove && Number.isInteger(most / step) ? 1 : 0);
  return fc.integer({ min: from, max: Math.max(from, to) }).map((count) => Number((count * step).toPrecision(12)));
}

const FORMATS: { readonly [format: string]: () => fc.Arbitrary<string> } = {
  'date-time': () =>
    fc.date({ noInvalidDate: true, min: new Date(0), max: new Date(4e12) }).map((date) => date.toISOString()),
  date: () =>
    fc
      .date({ noInvalidDate: true, min: new Date(0), max: new Date(4e12) })
      .map((date) => date.toISOString().slice(0, 10)),
  uuid: () => fc.uuid(),
  email: () =>
    fc
      .tuple(fc.stringMatching(/^[a-z]{1,8}$/), fc.stringMatching(/^[a-z]{1,8}$/))
      .map(([user, host]) => `${user}@${host}.org`),
  uri: () => fc.webUrl(),
  ipv4: () => fc.ipV4(),
  ipv6: () => fc.ipV6(),
  hostname: () => fc.domain(),
  byte: () => fc.base64String(),
};

function strings(schema: Json): fc.Arbitrary<string> {
  if (typeof schema.pattern === 'string')
    return fc.stringMatching(new RegExp(schema.pattern, 'u')).filter((text) => isWithin(text, schema));
  const format = typeof schema.format === 'string' ? FORMATS[schema.format] : undefined;
  if (format !== undefined) return format();
  const minLength = Number(schema.minLength ?? 0);
  const maxLength = Math.min(Number(schema.maxLength ?? minLength + 12), minLength + 64);
  // Lengths count code points (JSON Schema Validation §6.3.1).
  return fc
    .string({ unit: 'binary', minLength, maxLength })
    .filter((text) => text.isWellFormed() && isWithin(text, schema));
}

function isWithin(text: string, schema: Json): boolean {
  const { length } = [...text];
  return length >= Number(schema.minLength ?? 0) && length <= Number(schema.maxLength ?? Number.POSITIVE_INFINITY);
}

function arrays(schema: Json, resolve: Resolve, depth: number): fc.Arbitrary<unknown> {
  const minLength = Number(schema.minItems ?? 0);
  const wanted = depth >= MAX_DEPTH ? minLength : minLength + 3;
  const maxLength = Math.min(Number(schema.maxItems ?? wanted), Math.max(wanted, minLength));
  const items = late(() => valueOfSchema(schema.items ?? {}, resolve, depth + 1));
  if (maxLength === 0) return fc.constant([]);
  if (schema.uniqueItems !== true) return fc.array(items, { minLength, maxLength });
  // Without a least length: where the items have too few values to differ it would be looked for without end.
  return fc.uniqueArray(items, { maxLength, selector: (item) => JSON.stringify(item) });
}

function objects(schema: Json, resolve: Resolve, depth: number): fc.Arbitrary<unknown> {
  const properties = isRecord(schema.properties) ? schema.properties : {};
  const required = new Set(Array.isArray(schema.required) ? schema.required.map(String) : []);
  const names = Object.keys(properties).filter((name) => depth < MAX_DEPTH || required.has(name));
  const fields = Object.fromEntries(
    names.map((name) => [name, late(() => valueOfSchema(properties[name], resolve, depth + 1))]),
  );
  for (const name of required) fields[name] ??= fc.constant('required');
  const declared = fc.record(fields, { requiredKeys: [...required] });
  const { additionalProperties } = schema;
  if (!isRecord(additionalProperties) || depth >= MAX_DEPTH) return declared;
  const more = fc.dictionary(
    fc.stringMatching(/^[a-z]{1,6}$/).filter((name) => !Object.hasOwn(properties, name)),
    late(() => valueOfSchema(additionalProperties, resolve, depth + 1)),
    { maxKeys: 3 },
  );
  return fc.tuple(declared, more).map(([left, right]) => ({ ...right, ...left }));
}

/** One schema that says what several say together; where two bound the same, the later. */
function merged(base: Json, parts: readonly unknown[], resolve: Resolve): Json {
  const { allOf: _, ...rest } = base;
  let sum: Json = rest;
  for (const part of parts) {
    let content = part;
    while (isRecord(content) && typeof content.$ref === 'string') content = resolve(content.$ref);
    if (!isRecord(content)) continue;
    const flat = Array.isArray(content.allOf) ? merged(content, content.allOf, resolve) : content;
    const properties = { ...record(sum.properties), ...record(flat.properties) };
    const required = [...new Set([...list(sum.required), ...list(flat.required)])];
    sum = {
      ...sum,
      ...flat,
      ...(Object.keys(properties).length > 0 ? { properties } : {}),
      ...(required.length > 0 ? { required } : {}),
    };
  }
  return sum;
}

function record(value: unknown): Json {
  return isRecord(value) ? value : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
