import type { ApiParameter, ArrayShape, ObjectShape, PrimitiveShape, PrimitiveType } from '../api-model.ts';
import { spendWork } from '../schema/work-budget.ts';
import { decodeFormText } from './parse-form.ts';

/** How the text of a parameter is decoded where it stands; undefined: a broken encoding. */
export type Decode = (text: string) => string | undefined;

/**
 * Values that a text stands for, to be tried in order; never empty. A text that no declared type takes is
 * left as it is: the validator then says which type it should have been.
 */
export type Candidates = readonly unknown[];

/** RFC 8259 §6 without fraction and exponent: `1e3` and `1.0` are no integers, ` 1` and `01` no numbers. */
const INTEGER = /^-?(?:0|[1-9]\d*)$/;
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

export function primitiveCandidates(text: string, shape: PrimitiveShape): Candidates {
  const [only, ...more] = shape.types;
  if (only !== undefined && more.length === 0) return [coerce(text, only) ?? text];
  const values = shape.types.map((type) => coerce(text, type)).filter((value) => value !== undefined);
  return values.length === 0 ? [text] : values;
}

function coerce(text: string, type: PrimitiveType): string | number | boolean | undefined {
  switch (type) {
    case 'string':
      return text;
    case 'integer':
      return INTEGER.test(text) ? Number(text) : undefined;
    case 'number':
      return NUMBER.test(text) ? Number(text) : undefined;
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : undefined;
  }
}

/** Within lists and objects a text has one type. */
function single(text: string, shape: PrimitiveShape): unknown {
  return primitiveCandidates(text, shape)[0];
}

/** Items that are already decoded. */
export function arrayValue(items: readonly string[], shape: ArrayShape): readonly unknown[] {
  return items.map((item) => single(item, shape.items));
}

/**
 * The object of already decoded fields; a field given several times is a list where the schema says so. A
 * string: the field that is given twice and is no list.
 */
export function objectValue(
  fields: ReadonlyMap<string, readonly string[]>,
  shape: ObjectShape,
): { readonly [name: string]: unknown } | string {
  const entries: [string, unknown][] = [];
  for (const [name, texts] of fields) {
    const property = Object.hasOwn(shape.properties, name) ? shape.properties[name] : shape.additional;
    if (property?.kind === 'array') {
      entries.push([name, arrayValue(texts, property)]);
      continue;
    }
    if (texts.length > 1) return name;
    const text = texts[0] ?? '';
    entries.push([name, property === undefined ? text : single(text, property)]);
  }
  return Object.fromEntries(entries);
}

/** By style: what stands between the items of a list. */
export type Delimiters = { readonly [style: string]: RegExp };

const DELIMITERS: Delimiters = {
  simple: /,/,
  form: /,/,
  spaceDelimited: /%20|\+/,
  pipeDelimited: /\||%7C/i,
};

/**
 * Values of a parameter whose whole text stands in one place (everything but exploded ones in a query). Split
 * before decoding, so that an encoded delimiter is part of an item. Undefined: a broken encoding; a string in
 * `problem`: what else is wrong. Source: RFC 6570 §3.2, OpenAPI 3.1 §4.8.12.6.
 */
export function delimitedCandidates(
  raw: string,
  parameter: ApiParameter,
  decode: Decode,
  delimiters: Delimiters = DELIMITERS,
): Candidates | { readonly problem: string } {
  const { shape, style, explode } = parameter;
  const parts = partsOf(raw, parameter, delimiters);
  if (parts === undefined) return { problem: `is not of style ${style}` };
  if (shape.kind === 'primitive') {
    const text = decode(parts[0] ?? '');
    return text === undefined ? BROKEN : primitiveCandidates(text, shape);
  }
  const texts = decodeAll(parts, decode);
  if (texts === undefined) return BROKEN;
  if (shape.kind === 'array') return [arrayValue(texts, shape)];
  const fields = explode ? pairsByEquals(texts) : pairsByPosition(texts);
  if (fields === undefined) return { problem: 'is not a list of names and values' };
  const value = objectValue(fields, shape);
  return typeof value === 'string' ? { problem: `has the property ${value} twice` } : [value];
}

/** The raw parts of a text, without what its style adds; undefined: it is not of that style. */
function partsOf(raw: string, parameter: ApiParameter, delimiters: Delimiters): readonly string[] | undefined {
  const { style, shape, explode } = parameter;
  const isWhole = shape.kind === 'primitive';
  if (style === 'matrix') return matrixParts(raw, parameter);
  if (style !== 'label') return isWhole ? [raw] : split(raw, delimiters[style] ?? /,/);
  if (!raw.startsWith('.')) return undefined;
  return isWhole ? [raw.slice(1)] : split(raw.slice(1), explode ? '.' : ',');
}

/** A list of a long form may be of millions of items. Throws WorkExceeded. */
function split(raw: string, delimiter: string | RegExp): readonly string[] {
  spendWork(raw.length);
  return raw.split(delimiter);
}

/** RFC 6570 §3.2.7: `;id=5`, `;id=3,4`, exploded `;id=3;id=4`, an object `;role=admin;name=Alex`. */
function matrixParts(raw: string, { name, shape, explode }: ApiParameter): readonly string[] | undefined {
  if (!raw.startsWith(';')) return undefined;
  const fields = raw.slice(1).split(';');
  if (explode && shape.kind === 'object') return fields;
  const values = fields.map((field) => {
    if (field === name) return '';
    return field.startsWith(`${name}=`) ? field.slice(name.length + 1) : undefined;
  });
  const known = values.filter((value) => value !== undefined);
  if (known.length < values.length || (values.length > 1 && !(explode && shape.kind === 'array'))) return undefined;
  return explode || shape.kind === 'primitive' ? known : known[0]?.split(',');
}

export const BROKEN = { problem: 'has a broken percent-encoding' };

/** Of an item that is decoded and becomes a value, in the units of work-budget.ts. */
const ITEM_WORK = 20;

/** Decodes all texts; undefined when one of them is broken. Throws WorkExceeded. */
export function decodeAll(texts: readonly string[], decode: Decode = decodeFormText): string[] | undefined {
  spendWork(texts.length * ITEM_WORK);
  const decoded: string[] = [];
  for (const text of texts) {
    const item = decode(text);
    if (item === undefined) return undefined;
    decoded.push(item);
  }
  return decoded;
}

function pairsByPosition(texts: readonly string[]): ReadonlyMap<string, readonly string[]> | undefined {
  if (texts.length % 2 !== 0) return undefined;
  const fields = new Map<string, string[]>();
  for (let index = 0; index < texts.length; index += 2) add(fields, texts[index] ?? '', texts[index + 1] ?? '');
  return fields;
}

function pairsByEquals(texts: readonly string[]): ReadonlyMap<string, readonly string[]> | undefined {
  const fields = new Map<string, string[]>();
  for (const text of texts) {
    const equals = text.indexOf('=');
    if (equals < 0) return undefined;
    add(fields, text.slice(0, equals), text.slice(equals + 1));
  }
  return fields;
}

/** Appends to the list of a name. */
export function add(fields: Map<string, string[]>, name: string, text: string): void {
  const texts = fields.get(name);
  if (texts === undefined) fields.set(name, [text]);
  else texts.push(text);
}

/** Each property is a field of its own. */
export function isSpread({ style, explode, shape }: ApiParameter): boolean {
  return shape.kind === 'object' && (style === 'deepObject' || (style === 'form' && explode));
}

/** `b` of `a[b]`, a field of the deepObject `a`; undefined: it is none, has no name, or is of more than one level. */
export function deepProperty(field: string, name: string): string | undefined {
  if (!field.startsWith(`${name}[`) || !field.endsWith(']')) return undefined;
  const property = field.slice(name.length + 1, -1);
  return property === '' || property.includes('[') || property.includes(']') ? undefined : property;
}

/** True for an exploded object with additionalProperties: it takes all names that other parameters leave. */
export function takesOpenNames({ style, explode, shape }: ApiParameter): boolean {
  return style === 'form' && explode && shape.kind === 'object' && shape.additional !== undefined;
}
