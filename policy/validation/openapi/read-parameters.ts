import { isRecord } from '../../schema/schema.ts';
import type { ApiParameter, ParameterLocation, ParameterStyle, TextShape } from '../api-model.ts';
import { isJsonType } from '../decode/media-type.ts';
import { type Located, type References, SchemaFault } from '../schema/schema-references.ts';
import { textShapes } from './text-shape.ts';

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

/**
 * Those of the hop to the sidecar, and those that it writes anew: a caller's own never reaches the app, whatever it says. (The sidecar takes them
 * out before it asks: one that is required would always be missing.)
 */
const HEADERS_OF_THE_HOP = new Set([
  ...['traceparent', 'tracestate', 'x-forwarded-client-cert', 'expect'],
  ...['connection', 'keep-alive', 'proxy-connection', 'te', 'transfer-encoding', 'upgrade'],
]);

const LOCATIONS: readonly ParameterLocation[] = ['path', 'query', 'header', 'cookie'];
const STYLES: { readonly [K in ParameterLocation]: readonly ParameterStyle[] } = {
  path: ['simple', 'label', 'matrix'],
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

/** OpenAPI says to ignore it in a request, or it never reaches the app. */
export function isIgnored({ in: place, name }: DeclaredParameter): boolean {
  const lower = name.toLowerCase();
  return place === 'header' && (IGNORED_HEADERS.has(lower) || HEADERS_OF_THE_HOP.has(lower));
}

/** Reads a parameter. Throws SchemaFault for what cannot be checked. */
export function readParameter(declared: DeclaredParameter, references: References): ReadParameter {
  const { name, in: place, located } = declared;
  const { value, path } = located;
  if (!isRecord(value)) throw new SchemaFault(path, 'expected a parameter');
  const base = {
    name,
    in: place,
    isRequired: place === 'path' || value.required === true,
    allowsEmptyValue: place === 'query' && value.allowEmptyValue === true,
  };
  if (value.content !== undefined) {
    const { schema, isJson } = contentOf({ value: value.content, path: [...path, 'content'] });
    const style = isJson ? 'json' : place === 'query' || place === 'cookie' ? 'form' : 'simple';
    const shape = { kind: 'primitive', types: ['string'] } as const;
    return { parameter: { ...base, style, explode: false, shape, alternatives: [] }, schema };
  }
  if (value.schema === undefined) throw new SchemaFault(path, `parameter ${name} has neither schema nor content`);
  const schema = { value: value.schema, path: [...path, 'schema'] };
  const style = readStyle(value.style, place, located);
  const explode = typeof value.explode === 'boolean' ? value.explode : style === 'form';
  const [shape, ...alternatives] = textShapes(schema, references);
  for (const one of [shape, ...alternatives]) {
    const complaint = unsupported(style, explode, one, place);
    if (complaint !== undefined) throw new SchemaFault(path, `parameter ${name}: ${complaint}`);
  }
  const isSpread = place === 'query' && (style === 'deepObject' || (style === 'form' && explode));
  if (isSpread && alternatives.length > 0 && [shape, ...alternatives].some(({ kind }) => kind === 'object')) {
    // Whether its fields are its own, or unknown, would depend on what they are.
    throw new SchemaFault(path, `parameter ${name}: an object spread over the query cannot have alternatives`);
  }
  return { parameter: { ...base, style, explode, shape, alternatives }, schema };
}

/** OpenAPI 3.1 §4.8.15.1, §4.8.17: a header named Content-Type is ignored, of a response and of a part: `content` and `contentType` say it. */
const SAID_ELSEWHERE: ReadonlySet<string> = new Set(['content-type']);

/** Reads the `headers` of a response or of an encoding. Throws SchemaFault for what cannot be checked. */
export function readHeaders({ value, path }: Located, references: References): readonly ReadParameter[] {
  if (value === undefined) return [];
  if (!isRecord(value)) throw new SchemaFault(path, 'expected a mapping of names to headers');
  return Object.entries(value).flatMap(([name, header]) => {
    if (SAID_ELSEWHERE.has(name.toLowerCase())) return [];
    const located = references.follow({ value: header, path: [...path, name] });
    return [readParameter({ name, in: 'header', located }, references)];
  });
}

function parameterKey(place: ParameterLocation, name: string): string {
  // RFC 9110 §5.1: header names are without case.
  return `${place} ${place === 'header' ? name.toLowerCase() : name}`;
}

/** The style that is said, or the standard one. Throws SchemaFault for one that the place does not have. */
export function readStyle(style: unknown, place: ParameterLocation, { path }: Located): ParameterStyle {
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
export function unsupported(
  style: ParameterStyle,
  explode: boolean,
  shape: TextShape,
  place: ParameterLocation,
): string | undefined {
  if (style === 'deepObject' && shape.kind !== 'object') return 'style deepObject is for objects only';
  if (style === 'spaceDelimited' || style === 'pipeDelimited') {
    if (shape.kind === 'primitive') return `style ${style} is for lists and objects only`;
    if (shape.kind === 'object' && explode) return `style ${style} of an object needs explode: false`;
  }
  if (place === 'cookie' && explode && shape.kind !== 'primitive')
    return 'lists and objects in cookies need explode: false';
  if (shape.kind !== 'object') return undefined;
  const hasList = Object.values(shape.properties).some(({ kind }) => kind === 'array');
  return hasList ? 'a list within an object cannot be read from text' : undefined;
}

function contentOf({ value, path }: Located): { readonly schema: Located; readonly isJson: boolean } {
  const [entry, ...more] = isRecord(value) ? Object.entries(value) : [];
  if (entry === undefined || more.length > 0)
    throw new SchemaFault(path, 'content of a parameter needs exactly one entry');
  const [type, media] = entry;
  const isJson = isJsonType(type.toLowerCase());
  if (!isJson && type.toLowerCase() !== 'text/plain')
    throw new SchemaFault(
      [...path, type],
      `content ${type} of a parameter is not supported; supported: application/json, text/plain`,
    );
  const schema = isRecord(media) ? media.schema : undefined;
  if (schema === undefined) throw new SchemaFault([...path, type], 'content of a parameter needs a schema');
  return { schema: { value: schema, path: [...path, type, 'schema'] }, isJson };
}
