import { isRecord } from '../../schema/schema.ts';
import type { MultipartShape, PartShape } from '../api-model.ts';
import { isJsonType } from '../decode/media-type.ts';
import { type Located, type References, SchemaFault } from '../schema/schema-references.ts';
import { isFreeSchema } from './free-schema.ts';
import { textShape } from './text-shape.ts';

/**
 * How the parts of multipart/form-data become the values of an object: by the schemas of its properties and the `encoding` object.
 * Throws SchemaFault. Source: OpenAPI 3.0 §4.7.14.4, 3.1 §4.8.14.4 (default content types).
 */
export function multipartShape(schema: Located, encoding: Located, references: References): MultipartShape {
  const { value, path } = references.follow(schema);
  const isObject = isRecord(value) && (value.type === undefined || value.type === 'object');
  if (!isObject || ['allOf', 'anyOf', 'oneOf', '$ref'].some((keyword) => keyword in value)) {
    throw new SchemaFault(path, 'a schema of multipart/form-data must be an object with properties of its own');
  }
  const { properties } = value;
  const encodings = isRecord(encoding.value) ? encoding.value : {};
  const parts = Object.entries(isRecord(properties) ? properties : {}).map(([name, property]): [string, PartShape] => {
    const at = { value: encodings[name], path: [...encoding.path, name] };
    return [name, partShape({ value: property, path: [...path, 'properties', name] }, at, references)];
  });
  return { parts: Object.fromEntries(parts) };
}

function partShape(schema: Located, encoding: Located, references: References): PartShape {
  const whole = references.follow(schema);
  const isList = isRecord(whole.value) && whole.value.type === 'array';
  const items = isList && isRecord(whole.value) ? whole.value.items : undefined;
  const one = isList ? references.follow({ value: items ?? {}, path: [...whole.path, 'items'] }) : whole;
  const contentTypes = declaredTypes(encoding);
  const kind = kindOf(one, contentTypes, references);
  const shared = { isList, contentTypes };
  if (kind !== 'text') return { ...shared, kind, types: [] };
  const shape = textShape(one, references);
  if (shape.kind === 'primitive') return { ...shared, kind, types: shape.types };
  throw new SchemaFault(one.path, 'a list or object in a part of text/plain');
}

function declaredTypes({ value, path }: Located): readonly string[] | undefined {
  if (value === undefined) return undefined;
  if (!isRecord(value)) throw new SchemaFault(path, 'expected an encoding object');
  const { contentType, headers, style, explode } = value;
  if (headers !== undefined)
    throw new SchemaFault([...path, 'headers'], 'headers of parts are not judged in this version');
  if (style !== undefined || explode !== undefined) {
    throw new SchemaFault(path, 'encoding.style of multipart parts is not implemented in this version');
  }
  return typeof contentType === 'string' ? contentType.split(',').map((type) => type.trim().toLowerCase()) : undefined;
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
