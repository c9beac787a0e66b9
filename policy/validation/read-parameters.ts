import { isRecord } from '../schema/schema.ts';
import type { ApiParameter, ParameterLocation, ParameterStyle, TextShape } from './api-model.ts';
import { isJsonType } from './media-type.ts';
import { type Located, type References, SchemaFault } from './schema-references.ts';
import { textShape } from './text-shape.ts';

/** A parameter and the place of its schema. */
export interface ReadParameter {
  readonly parameter: ApiParameter;
  readonly schema: Located;
}

/** A parameter as declared, before anything is made of its schema. */
export interface DeclaredParameter {
  readonly name: string;
  readonly in: ParameterLocation;
  readonly located: Located;
}

/** OpenAPI 3.1 §4.8.12.2: "the parameter definition SHALL be ignored" for these headers. */
const IGNORED_HEADERS = new Set(['accept', 'content-type', 'authorization']);

const LOCATIONS: readonly ParameterLocation[] = ['path', 'query', 'header', 'cookie'];
const STYLES: { readonly [K in ParameterLocation]: readonly ParameterStyle[] } = {
  path: ['simple'],
  query: ['form', 'spaceDelimited', 'pipeDelimited', 'deepObject'],
  header: ['simple'],
  cookie: ['form'],
};

/** Names of a list of parameters. Throws SchemaFault where an entry has none, or two are the same. */
export function declaredParameters(list: Located, references: References): readonly DeclaredParameter[] {
  if (list.value === undefined) return [];
  if (!Array.isArray(list.value)) throw new SchemaFault(list.path, 'expected a list of parameters');
  const declared: DeclaredParameter[] = [];
  const seen = new Set<string>();
  for (const [index, entry] of list.value.entries()) {
    const located = references.follow({ value: entry, path: [...list.path, index] });
    const { value, path } = located;
    if (!isRecord(value)) throw new SchemaFault(path, 'expected a parameter');
    const place = LOCATIONS.find((candidate) => candidate === value.in);
    if (typeof value.name !== 'string' || value.name === '') throw new SchemaFault(path, 'a parameter needs a name');
    if (place === undefined)
      throw new SchemaFault(path, `a parameter is in ${LOCATIONS.join(', ')}, not in ${String(value.in)}`);
    const key = parameterKey(place, value.name);
    if (seen.has(key)) throw new SchemaFault([...list.path, index], `parameter ${value.name} in ${place} twice`);
    seen.add(key);
    declared.push({ name: value.name, in: place, located });
  }
  return declared;
}

/** Those of an operation take the place of those of its path item. Source: OpenAPI 3.1 §4.8.10.1. */
export function mergeParameters(
  ofPath: readonly DeclaredParameter[],
  ofOperation: readonly DeclaredParameter[],
): readonly DeclaredParameter[] {
  const own = new Set(ofOperation.map((parameter) => parameterKey(parameter.in, parameter.name)));
  return [...ofPath.filter((parameter) => !own.has(parameterKey(parameter.in, parameter.name))), ...ofOperation];
}

/** Reads a parameter; undefined: OpenAPI says to ignore it. Throws SchemaFault for what cannot be checked. */
export function readParameter(declared: DeclaredParameter, references: References): ReadParameter | undefined {
  const { name, in: place, located } = declared;
  const { value, path } = located;
  if (!isRecord(value)) throw new SchemaFault(path, 'expected a parameter');
  if (place === 'header' && IGNORED_HEADERS.has(name.toLowerCase())) return undefined;
  const base = {
    name,
    in: place,
    isRequired: place === 'path' || value.required === true,
    allowsEmptyValue: place === 'query' && value.allowEmptyValue === true,
  };
  if (value.content !== undefined) {
    const schema = jsonContent({ value: value.content, path: [...path, 'content'] });
    return {
      parameter: { ...base, style: 'json', explode: false, shape: { kind: 'primitive', types: ['string'] } },
      schema,
    };
  }
  if (value.schema === undefined) throw new SchemaFault(path, `parameter ${name} has neither schema nor content`);
  const schema = { value: value.schema, path: [...path, 'schema'] };
  const style = readStyle(value.style, place, located);
  const explode = typeof value.explode === 'boolean' ? value.explode : style === 'form';
  const shape = textShape(schema, references);
  const complaint = unsupported(style, explode, shape, place);
  if (complaint !== undefined) throw new SchemaFault(path, `parameter ${name}: ${complaint}`);
  return { parameter: { ...base, style, explode, shape }, schema };
}

function parameterKey(place: ParameterLocation, name: string): string {
  // RFC 9110 §5.1: header names are without case.
  return `${place} ${place === 'header' ? name.toLowerCase() : name}`;
}

function readStyle(style: unknown, place: ParameterLocation, { path }: Located): ParameterStyle {
  const [standard, ...others] = STYLES[place];
  if (style === undefined && standard !== undefined) return standard;
  const found = [standard, ...others].find((candidate) => candidate === style);
  if (found !== undefined) return found;
  throw new SchemaFault(
    [...path, 'style'],
    `style ${String(style)} in ${place} is not supported; supported: ${STYLES[place].join(', ')}`,
  );
}

/** What a combination lacks, or undefined. Source: OpenAPI 3.1 §4.8.12.6, table of style examples. */
function unsupported(
  style: ParameterStyle,
  explode: boolean,
  shape: TextShape,
  place: ParameterLocation,
): string | undefined {
  if (style === 'deepObject' && shape.kind !== 'object') return 'style deepObject is for objects only';
  if ((style === 'spaceDelimited' || style === 'pipeDelimited') && shape.kind !== 'array')
    return `style ${style} is supported for lists only`;
  if (place === 'cookie' && explode && shape.kind !== 'primitive')
    return 'lists and objects in cookies need explode: false';
  if (shape.kind !== 'object') return undefined;
  const hasList = Object.values(shape.properties).some(({ kind }) => kind === 'array');
  return hasList ? 'a list within an object cannot be read from text' : undefined;
}

function jsonContent({ value, path }: Located): Located {
  const [entry, ...more] = isRecord(value) ? Object.entries(value) : [];
  if (entry === undefined || more.length > 0)
    throw new SchemaFault(path, 'content of a parameter needs exactly one entry');
  const [type, media] = entry;
  if (!isJsonType(type.toLowerCase()))
    throw new SchemaFault(
      [...path, type],
      `content ${type} of a parameter is not supported; supported: application/json`,
    );
  const schema = isRecord(media) ? media.schema : undefined;
  if (schema === undefined) throw new SchemaFault([...path, type], 'content of a parameter needs a schema');
  return { value: schema, path: [...path, type, 'schema'] };
}
