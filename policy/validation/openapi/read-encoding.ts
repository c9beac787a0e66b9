import { isRecord } from '../../schema/schema.ts';
import type { ApiParameter, FormShape, ObjectShape } from '../api-model.ts';
import { isJsonType } from '../decode/media-type.ts';
import { isSpread } from '../decode/parameter-value.ts';
import { type Located, type References, SchemaFault } from '../schema/schema-references.ts';
import { readStyle, unsupported } from './read-parameters.ts';
import { allowsList, isObjectSchema, objectShapeWithout, single, textShape } from './text-shape.ts';

/** An entry of `encoding`. */
export interface Encoding {
  readonly located: Located & { readonly value: { readonly [field: string]: unknown } };
  /** Lower case; undefined: it is not said. */
  readonly contentTypes: readonly string[] | undefined;
  /**
   * `style`, `explode` or `allowReserved` is said: the property is written as a parameter of the query is, and `contentType` is ignored.
   * Source: OpenAPI 3.0.4 §4.7.15.1.2, 3.1 §4.8.15.1.
   */
  readonly isStyled: boolean;
}

/** Reads an `encoding`. Throws SchemaFault where it is none. */
export function readEncodings({ value, path }: Located): ReadonlyMap<string, Encoding> {
  if (value === undefined) return new Map();
  if (!isRecord(value)) throw new SchemaFault(path, 'expected a mapping of properties to encodings');
  return new Map(
    Object.entries(value).map(([name, entry]) => [name, readEncoding({ value: entry, path: [...path, name] })]),
  );
}

function readEncoding({ value, path }: Located): Encoding {
  if (!isRecord(value)) throw new SchemaFault(path, 'expected an encoding object');
  const { contentType, style, explode, allowReserved } = value;
  if (contentType !== undefined && typeof contentType !== 'string')
    throw new SchemaFault([...path, 'contentType'], 'expected media types, separated by commas');
  for (const [field, flag] of Object.entries({ explode, allowReserved })) {
    if (flag !== undefined && typeof flag !== 'boolean')
      throw new SchemaFault([...path, field], 'expected true or false');
  }
  return {
    located: { value, path },
    contentTypes: contentType?.split(',').map((type) => (type.split(';', 1)[0] ?? '').trim().toLowerCase()),
    isStyled: [style, explode, allowReserved].some((field) => field !== undefined),
  };
}

/** OpenAPI 3.1 §4.8.15: "The key, being the property name, MUST exist in the schema as a property." */
export function refuseUnknown(encodings: ReadonlyMap<string, Encoding>, has: (name: string) => boolean): void {
  for (const [name, { located }] of encodings) {
    if (has(name)) continue;
    throw new SchemaFault(
      located.path,
      `encoding of ${name}, which is no property of the schema`,
      'invalid_schema',
      'key',
    );
  }
}

const FORM_TYPE = 'application/x-www-form-urlencoded';

/** How a form is read, by the schema of its object and the encodings of its properties. Throws SchemaFault for what is not defined. */
export function readForm(schema: Located, encoding: Located, references: References): FormShape {
  const encodings = readEncodings(encoding);
  const isJsonByDefault = definesObjects(references);
  const found = objectShapeWithout(
    schema,
    references,
    (name, property) => encodings.has(name) || isObjectSchema(property, references),
  );
  if (found === undefined) throw new SchemaFault(schema.path, `a schema of ${FORM_TYPE} must be of type object`);
  const { shape, apart } = found;
  refuseUnknown(encodings, (name) => apart.has(name));
  const styled = [...apart].map(([name, property]) => {
    const one = encodings.get(name);
    if (one?.isStyled === true) return styledProperty(name, property, one, references);
    return typedProperty(name, property, one?.contentTypes, isJsonByDefault, references);
  });
  refuseShared(styled, Object.keys(shape.properties), schema);
  // Undeclared fields are judged as well: the schema's additionalProperties decides about them.
  const additional: ObjectShape['additional'] = shape.additional ?? { kind: 'primitive', types: ['string'] };
  return { plain: { ...shape, additional }, styled };
}

/** A property that is written as a parameter of the query with the same name, style and schema is. */
export function styledProperty(
  name: string,
  property: Located,
  { located }: Encoding,
  references: References,
): ApiParameter {
  const style = readStyle(located.value.style, 'query', located);
  const explode = typeof located.value.explode === 'boolean' ? located.value.explode : style === 'form';
  const shape = textShape(property, references);
  const one = shape.kind === 'primitive' ? single(shape, property.path) : shape;
  const complaint = unsupported(style, explode, one, 'query');
  if (complaint !== undefined) throw new SchemaFault(located.path, `property ${name}: ${complaint}`);
  const styled: ApiParameter = { ...NOTHING_ELSE, name, style, explode, shape: one };
  if (isSpread(styled) && style === 'form' && one.kind === 'object' && one.additional !== undefined) {
    throw new SchemaFault(located.path, `property ${name}: an object that takes any name cannot be spread over a form`);
  }
  if (style === 'deepObject' && name.includes('['))
    throw new SchemaFault(located.path, `property ${name}: the name of a deepObject with a bracket`);
  return styled;
}

const NOTHING_ELSE = { in: 'query', isRequired: false, allowsEmptyValue: false, alternatives: [] } as const;

/** A property that is written by its media type. */
function typedProperty(
  name: string,
  property: Located,
  contentTypes: readonly string[] | undefined,
  isJsonByDefault: boolean,
  references: References,
): ApiParameter {
  const isObject = isObjectSchema(property, references);
  if (contentTypes === undefined && isObject && !isJsonByDefault) {
    throw new SchemaFault(
      property.path,
      `property ${name}: how an object is written in a form is not defined before OpenAPI 3.0.4 and 3.1.1; encoding can say it by style or contentType`,
    );
  }
  const text = { kind: 'primitive', types: ['string'] } as const;
  if (contentTypes === undefined ? isObject : contentTypes.every(isJsonType)) {
    if (allowsList(property, references))
      throw new SchemaFault(
        property.path,
        `property ${name}: whether a list of JSON is one text or one an item is not defined`,
      );
    return { ...NOTHING_ELSE, name, style: 'json', explode: false, shape: text };
  }
  const shape = textShape(property, references);
  const types = shape.kind === 'array' ? shape.items.types : shape.kind === 'primitive' ? shape.types : [];
  const isText = contentTypes === undefined || contentTypes.every((type) => type === 'text/plain');
  // What is text to the schema is text, whatever it is text of; one that may be JSON as well could be read in two ways.
  const isOther = types.every((type) => type === 'string') && contentTypes?.some(isJsonType) !== true;
  if (shape.kind !== 'object' && types.length === 1 && (isText || isOther))
    return { ...NOTHING_ELSE, name, style: 'form', explode: true, shape };
  const of = contentTypes?.join(', ') ?? 'text/plain';
  throw new SchemaFault(
    property.path,
    `property ${name}: a field of ${of} cannot be held against a schema in this version`,
  );
}

/** A field that could be of two properties. */
export function refuseShared(styled: readonly ApiParameter[], others: readonly string[], schema: Located): void {
  const taken = new Set(others);
  const take = (name: string) => {
    if (taken.has(name)) throw new SchemaFault(schema.path, `two properties are written as ${name}`);
    taken.add(name);
  };
  for (const one of styled) {
    if (!isSpread(one)) take(one.name);
    else if (one.style !== 'deepObject' && one.shape.kind === 'object') Object.keys(one.shape.properties).forEach(take);
  }
  const deep = new Set(styled.filter(({ style }) => style === 'deepObject').map(({ name }) => name));
  const other = [...taken].find((field) => field.includes('[') && deep.has(field.slice(0, field.indexOf('['))));
  if (other !== undefined) throw new SchemaFault(schema.path, `two properties are written as ${other}`);
}

/**
 * Since 3.0.4 and 3.1.1 an object of a form is JSON where nothing else is said; before, one section said so (`contentType`), another that it is
 * spread over the form (`style`).
 */
function definesObjects(references: References): boolean {
  const version = references.valueAt(['openapi']);
  const [, minor, patch] = (typeof version === 'string' ? /^3\.(\d)\.(\d+)/.exec(version) : undefined) ?? [];
  return Number(patch) >= (minor === '0' ? 4 : 1);
}
