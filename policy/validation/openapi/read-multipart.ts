import { isRecord } from '../../schema/schema.ts';
import type { ApiParameter, MultipartShape, PartShape } from '../api-model.ts';
import { isJsonType } from '../decode/media-type.ts';
import { type Located, type References, SchemaFault } from '../schema/schema-references.ts';
import { isFreeSchema } from './free-schema.ts';
import { readEncodings, refuseShared, refuseUnknown, styledProperty } from './read-encoding.ts';
import { type ReadParameter, readHeaders } from './read-parameters.ts';
import { textShape } from './text-shape.ts';

/** Header fields that the parts of a property are held against. */
export interface ReadPartHeaders {
  readonly property: string;
  readonly headers: readonly ReadParameter[];
}

/** How multipart/form-data is read, and what the headers of its parts must be. */
export interface ReadMultipart {
  readonly multipart: MultipartShape;
  readonly partHeaders: readonly ReadPartHeaders[];
}

/**
 * How the parts of multipart/form-data become the values of an object: by the schemas of its properties and the `encoding` object.
 * Throws SchemaFault. Source: OpenAPI 3.0 §4.7.14.4, 3.1 §4.8.14.4 (default content types), §4.8.15 (styles, headers).
 */
export function readMultipart(schema: Located, encoding: Located, references: References): ReadMultipart {
  const { value, path } = references.follow(schema);
  const isObject = isRecord(value) && (value.type === undefined || value.type === 'object');
  if (!isObject || ['allOf', 'anyOf', 'oneOf', '$ref'].some((keyword) => keyword in value)) {
    throw new SchemaFault(path, 'a schema of multipart/form-data must be an object with properties of its own');
  }
  const properties = isRecord(value.properties) ? value.properties : {};
  const encodings = readEncodings(encoding);
  refuseUnknown(encodings, (name) => Object.hasOwn(properties, name));
  const parts: [string, PartShape][] = [];
  const styled: ApiParameter[] = [];
  for (const [name, value] of Object.entries(properties)) {
    const property = { value, path: [...path, 'properties', name] };
    const one = encodings.get(name);
    if (one?.isStyled === true && isStyledIn(references)) {
      refuseBytes(name, property, references);
      styled.push(styledProperty(name, property, one, references));
    } else parts.push([name, partShape(property, one?.contentTypes, references)]);
  }
  refuseShared(
    styled,
    parts.map(([name]) => name),
    schema,
  );
  const partHeaders = [...encodings].flatMap(([property, { located }]) => {
    const at = { value: located.value.headers, path: [...located.path, 'headers'] };
    const headers = readHeaders(at, references);
    return headers.length === 0 ? [] : [{ property, headers }];
  });
  return { multipart: { parts: Object.fromEntries(parts), styled }, partHeaders };
}

/** A style writes text: what it makes of a file is not defined. */
function refuseBytes(name: string, property: Located, references: References): void {
  const { value, path } = references.follow(property);
  if (isRecord(value) && Object.keys(value).length > 0 && isBytes(value) && isFreeSchema(property, references))
    throw new SchemaFault(path, `property ${name}: how a style writes binary content is not defined`);
}

/** OpenAPI 3.0 §4.7.15.1: `style`, `explode` and `allowReserved` are ignored but for application/x-www-form-urlencoded. */
function isStyledIn(references: References): boolean {
  const version = references.valueAt(['openapi']);
  return typeof version === 'string' && !version.startsWith('3.0.');
}

function partShape(schema: Located, contentTypes: readonly string[] | undefined, references: References): PartShape {
  const whole = references.follow(schema);
  const isList = isRecord(whole.value) && whole.value.type === 'array';
  const items = isList && isRecord(whole.value) ? whole.value.items : undefined;
  const one = isList ? references.follow({ value: items ?? {}, path: [...whole.path, 'items'] }) : whole;
  const kind = kindOf(one, contentTypes, references);
  const shared = { isList, contentTypes };
  if (kind !== 'text') return { ...shared, kind, types: [] };
  const shape = textShape(one, references);
  if (shape.kind === 'primitive') return { ...shared, kind, types: shape.types };
  throw new SchemaFault(one.path, 'a list or object in a part of text/plain');
}

/** OpenAPI 3.1 §4.8.14.3: a string of other content than text, or of no type at all. */
function isBytes(value: unknown): boolean {
  if (!isRecord(value) || value.type === undefined || value.format === 'binary') return true;
  return value.contentMediaType !== undefined || value.contentEncoding !== undefined;
}

function kindOf(
  schema: Located,
  contentTypes: readonly string[] | undefined,
  references: References,
): PartShape['kind'] {
  const { value, path } = schema;
  if (contentTypes?.every(isJsonType) === true) return 'json';
  if (contentTypes?.every((type) => type === 'text/plain') === true) return 'text';
  const isFree = isFreeSchema(schema, references);
  if (contentTypes !== undefined || (isFree && isBytes(value))) {
    if (isFree) return 'opaque';
    throw new SchemaFault(
      path,
      `a part of ${contentTypes?.join(', ')} cannot be held against a schema in this version`,
    );
  }
  if (!isRecord(value)) return 'opaque';
  return value.type === 'object' || value.type === 'array' || 'properties' in value || '$ref' in value
    ? 'json'
    : 'text';
}
