import { isRecord } from '#policy/schema/schema.ts';
import type { Resolve } from './value-of-schema.ts';

/** A value that breaks one keyword of a schema. */
export interface Breaking {
  readonly keyword: string;
  /** JSON Pointer of the place whose keyword it is. */
  readonly pointer: string;
  readonly value: unknown;
  /** What stands at that place now. */
  readonly broken: unknown;
  /** Types that the schema has there; undefined: any. */
  readonly types: readonly string[] | undefined;
}

type Json = { readonly [key: string]: unknown };

/** Values of every type, of which those are taken that a schema does not have. */
const OF_TYPES: { readonly [type: string]: unknown } = {
  null: null,
  boolean: true,
  integer: 77,
  number: 77.5,
  string: 'seventy-seven',
  array: [77],
  object: { seventy: 7 },
};
/** Texts that are not of a format. */
const NO_FORMATS: { readonly [format: string]: unknown } = {
  uuid: '0190-zz',
  date: '2024-02-30',
  'date-time': '2024-01-01 at noon',
  email: 'no.address',
  uri: 'no uri',
  ipv4: '1.2.3.256',
  ipv6: '1::2::3',
  byte: 'a===',
  int32: 2 ** 31,
};
/** Texts of which one at least does not match a pattern: all can stand in a header field or a path. */
const OTHER_TEXTS = ['!', 'UPPER', '0', 'lower-case-but-long', 'x'];

/** What a value can be changed to, at every place, such that one keyword is broken there. The value is valid. */
export function* brokenValues(schema: unknown, value: unknown, resolve: Resolve): Generator<Breaking> {
  if (!isRecord(schema)) return;
  if (typeof schema.$ref === 'string') {
    yield* brokenValues(resolve(schema.$ref), value, resolve);
    return;
  }
  for (const part of list(schema.allOf)) yield* brokenValues(part, value, resolve);
  for (const keyword of ['oneOf', 'anyOf']) yield* ofChoice(list(schema[keyword]), value, keyword, resolve);
  for (const [keyword, broken] of brokenHere(schema, value)) {
    yield { keyword, pointer: '', value: broken, broken, types: typesOf(schema) };
  }
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) {
      for (const one of brokenValues(schema.items, item, resolve)) {
        yield { ...one, pointer: `/${index}${one.pointer}`, value: value.with(index, one.value) };
      }
    }
  }
  if (isRecord(value)) {
    const properties = isRecord(schema.properties) ? schema.properties : {};
    for (const [name, member] of Object.entries(value)) {
      const declared = Object.hasOwn(properties, name) ? properties[name] : schema.additionalProperties;
      for (const one of brokenValues(declared, member, resolve)) {
        yield { ...one, pointer: `/${name}${one.pointer}`, value: { ...value, [name]: one.value } };
      }
    }
  }
}

function* ofChoice(
  branches: readonly unknown[],
  value: unknown,
  keyword: string,
  resolve: Resolve,
): Generator<Breaking> {
  if (branches.length === 0) return;
  const couldFitNone = (changed: unknown, others = branches) =>
    others.every((branch) => !couldFit(branch, changed, resolve));
  for (const none of Object.values(OF_TYPES)) {
    if (couldFitNone(none)) yield { keyword, pointer: '', value: none, broken: none, types: undefined };
  }
  for (const branch of branches.filter((one) => couldFit(one, value, resolve))) {
    const others = branches.filter((other) => other !== branch);
    for (const one of brokenValues(branch, value, resolve)) {
      if (couldFitNone(one.value, others)) yield one;
    }
  }
}

/** False: the value cannot be valid, for its type, a property that is missing, or one of another value. */
function couldFit(schema: unknown, value: unknown, resolve: Resolve): boolean {
  if (!isRecord(schema)) return true;
  if (typeof schema.$ref === 'string') return couldFit(resolve(schema.$ref), value, resolve);
  if ('const' in schema && schema.const !== value) return false;
  if (Array.isArray(schema.enum) && !schema.enum.includes(value)) return false;
  const types = typesOf(schema);
  if (types !== undefined && !typesOfValue(value).some((type) => types.includes(type))) return false;
  if (!isRecord(value)) return true;
  const properties = isRecord(schema.properties) ? schema.properties : {};
  return (
    list(schema.required).every((name) => Object.hasOwn(value, String(name))) &&
    Object.entries(properties).every(
      ([name, member]) => !Object.hasOwn(value, name) || couldFit(member, value[name], resolve),
    )
  );
}

function* brokenHere(schema: Json, value: unknown): Generator<readonly [keyword: string, value: unknown]> {
  const types = typesOf(schema);
  if (types !== undefined) {
    for (const other of Object.values(OF_TYPES)) {
      if (!typesOfValue(other).some((type) => types.includes(type))) yield ['type', other];
    }
  }
  if ('const' in schema) yield ['const', `${String(schema.const)}-not`];
  if (Array.isArray(schema.enum)) yield ['enum', types?.includes('integer') === true ? 77 : 'seventy-seven'];
  if (typeof value === 'number') yield* brokenNumbers(schema, value);
  if (typeof value === 'string') yield* brokenTexts(schema, value);
  if (Array.isArray(value)) yield* brokenLists(schema, value);
  if (isRecord(value)) yield* brokenObjects(schema, value);
}

function* brokenNumbers(schema: Json, value: number): Generator<readonly [string, unknown]> {
  const at = (keyword: string) => (typeof schema[keyword] === 'number' ? schema[keyword] : undefined);
  const step = at('multipleOf') ?? 1;
  const minimum = at('minimum');
  const maximum = at('maximum');
  if (minimum !== undefined) yield ['minimum', minimum - step];
  if (maximum !== undefined) yield ['maximum', maximum + step];
  // In OpenAPI 3.0 these are flags, which change what the other keyword says.
  if (schema.exclusiveMinimum === true) yield ['minimum', minimum];
  if (schema.exclusiveMaximum === true) yield ['maximum', maximum];
  if (at('exclusiveMinimum') !== undefined) yield ['exclusiveMinimum', schema.exclusiveMinimum];
  if (at('exclusiveMaximum') !== undefined) yield ['exclusiveMaximum', schema.exclusiveMaximum];
  if (at('multipleOf') !== undefined) yield ['multipleOf', schema.type === 'integer' ? value - 1 : value - step / 2];
  if (typeof schema.format === 'string' && schema.format in NO_FORMATS && maximum === undefined)
    yield ['format', NO_FORMATS[schema.format]];
}

function* brokenTexts(schema: Json, value: string): Generator<readonly [string, unknown]> {
  const { minLength, maxLength, pattern, format } = schema;
  if (typeof minLength === 'number') yield ['minLength', [...value].slice(0, minLength - 1).join('')];
  // Each of these is one code point and two code units (JSON Schema Validation §6.3.1).
  if (typeof maxLength === 'number') yield ['maxLength', '😀'.repeat(maxLength + 1)];
  if (typeof pattern === 'string') {
    const expression = new RegExp(pattern, 'u');
    for (const text of [...OTHER_TEXTS, `${value}!`]) if (!expression.test(text)) yield ['pattern', text];
  }
  if (typeof format === 'string' && format in NO_FORMATS) yield ['format', NO_FORMATS[format]];
}

function* brokenLists(schema: Json, value: readonly unknown[]): Generator<readonly [string, unknown]> {
  const { minItems, maxItems, uniqueItems } = schema;
  const [first] = value;
  if (typeof minItems === 'number') yield ['minItems', value.slice(0, minItems - 1)];
  if (first === undefined) return;
  if (typeof maxItems === 'number' && uniqueItems !== true) {
    yield ['maxItems', Array.from({ length: maxItems + 1 }, (_, index) => value[index % value.length])];
  }
  if (uniqueItems === true) yield ['uniqueItems', [...value, first]];
}

function* brokenObjects(schema: Json, value: Json): Generator<readonly [string, unknown]> {
  for (const name of list(schema.required).map(String)) {
    yield ['required', Object.fromEntries(Object.entries(value).filter(([other]) => other !== name))];
  }
  if (schema.additionalProperties === false) yield ['additionalProperties', { ...value, surplus: 1 }];
  const { maxProperties } = schema;
  if (typeof maxProperties === 'number') {
    const more = Array.from({ length: maxProperties + 1 }, (_, index) => [`more${index}`, 1]);
    yield ['maxProperties', Object.fromEntries(more)];
  }
}

function typesOf(schema: Json): readonly string[] | undefined {
  if (schema.type === undefined) return undefined;
  const types = Array.isArray(schema.type) ? schema.type.map(String) : [String(schema.type)];
  return schema.nullable === true ? [...types, 'null'] : types;
}

function typesOfValue(value: unknown): readonly string[] {
  if (value === null) return ['null'];
  if (Array.isArray(value)) return ['array'];
  if (typeof value === 'number') return Number.isInteger(value) ? ['integer', 'number'] : ['number'];
  return [typeof value];
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
