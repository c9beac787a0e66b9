import fc from 'fast-check';
import { isRecord } from '#policy/schema/schema.ts';
import { type Breaking, brokenValues } from './broken-values.ts';
import { type Resolve, valueOfSchema } from './value-of-schema.ts';

/** A request as it stands on the wire. */
export interface WholeRequest {
  readonly method: string;
  readonly path: string;
  /** Without the question mark. */
  readonly query: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Undefined: there is none. */
  readonly body: string | undefined;
}

interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header' | 'cookie';
  readonly isRequired: boolean;
  readonly schema: unknown;
  /** `json`: declared by `content`. */
  readonly style: string;
  readonly explode: boolean;
}

export interface Operation {
  readonly id: string;
  readonly method: string;
  readonly template: string;
  readonly parameters: readonly Parameter[];
  readonly body: { readonly mediaType: string; readonly schema: unknown; readonly isRequired: boolean } | undefined;
}

/** What a request says. */
export interface Values {
  /** By the parameter's name. */
  readonly parameters: { readonly [name: string]: unknown };
  readonly body?: unknown;
}

/** A request that is wrong in one way. */
export interface WrongRequest {
  readonly operation: string;
  /** `path`, `query`, `header`, `cookie`, `body`, or `request`. */
  readonly place: string;
  /** Of the value that is wrong. */
  readonly pointer: string;
  /** What of it is: a keyword of the schema, or a word for what is about the request. */
  readonly keyword: string;
  readonly code: string;
  /** The keyword of a detail of the refusal; undefined: it has none. */
  readonly told: string | undefined;
  readonly request: WholeRequest;
}

type Json = { readonly [key: string]: unknown };

export function resolverOf(document: unknown): Resolve {
  return (reference) =>
    reference
      .slice(2)
      .split('/')
      .reduce((place: unknown, key) => (isRecord(place) ? place[key] : undefined), document);
}

/** The document without properties that are `readOnly`: requests need not have them. */
export function asRequestsHaveIt(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(asRequestsHaveIt);
  if (!isRecord(value)) return value;
  const copy: Record<string, unknown> = Object.fromEntries(
    Object.entries(value).map(([key, member]) => [key, asRequestsHaveIt(member)]),
  );
  if (!isRecord(copy.properties)) return copy;
  const kept = Object.entries(copy.properties).filter(([, member]) => !isRecord(member) || member.readOnly !== true);
  copy.properties = Object.fromEntries(kept);
  if (Array.isArray(copy.required)) copy.required = copy.required.filter((name) => kept.some(([key]) => key === name));
  return copy;
}

export function operationsOf(document: unknown): readonly Operation[] {
  const resolve = resolverOf(document);
  const paths = isRecord(document) ? record(document.paths) : {};
  return Object.entries(paths).flatMap(([template, item]) => {
    const { parameters: shared, ...methods } = record(item);
    return Object.entries(methods).map(([method, operation]): Operation => {
      const { operationId, parameters, requestBody } = record(operation);
      const body = record(resolved(requestBody, resolve));
      const [content] = Object.entries(record(body.content));
      return {
        id: String(operationId),
        method: method.toUpperCase(),
        template,
        parameters: [...list(shared), ...list(parameters)].map((one) => parameterOf(resolved(one, resolve))),
        body: content && {
          mediaType: content[0],
          schema: record(content[1]).schema,
          isRequired: body.required === true,
        },
      };
    });
  });
}

function resolved(value: unknown, resolve: Resolve): unknown {
  return isRecord(value) && typeof value.$ref === 'string' ? resolved(resolve(value.$ref), resolve) : value;
}

function parameterOf(declared: unknown): Parameter {
  const { name, in: place, required, schema, content, style, explode } = record(declared);
  const json = record(record(content)['application/json']);
  const where = place === 'path' || place === 'header' || place === 'cookie' ? place : 'query';
  const standard = where === 'path' || where === 'header' ? 'simple' : 'form';
  return {
    name: String(name),
    in: where,
    isRequired: required === true,
    schema: content === undefined ? schema : json.schema,
    style: content === undefined ? String(style ?? standard) : 'json',
    explode: typeof explode === 'boolean' ? explode : (style ?? standard) === 'form',
  };
}

/** What valid requests of an operation say. */
export function validValues({ parameters, body }: Operation, resolve: Resolve): fc.Arbitrary<Values> {
  const said = fc.record(
    Object.fromEntries(parameters.map((parameter) => [parameter.name, valueOfParameter(parameter, resolve)])),
    { requiredKeys: parameters.filter(({ isRequired }) => isRequired).map(({ name }) => name) },
  );
  // An empty list leaves no trace in most places: it is not given.
  const given = said.map((values) =>
    Object.fromEntries(Object.entries(values).filter(([, value]) => !(Array.isArray(value) && value.length === 0))),
  );
  if (body === undefined) return given.map((of) => ({ parameters: of }));
  return fc.record(
    { parameters: given, body: valueOfSchema(body.schema, resolve) },
    { requiredKeys: body.isRequired ? ['parameters', 'body'] : ['parameters'] },
  );
}

/** No text stands for null, and an empty segment of a path is none. */
function valueOfParameter({ schema, in: place }: Parameter, resolve: Resolve): fc.Arbitrary<unknown> {
  return valueOfSchema(schema, resolve).filter((value) => value !== null && !(place === 'path' && value === ''));
}

/** As a client writes it: RFC 6570, by the table of OpenAPI 3.1 §4.8.12.6. */
export function writeRequest({ method, template, parameters, body }: Operation, values: Values): WholeRequest {
  const given = parameters.filter(({ name }) => values.parameters[name] !== undefined);
  const written = (place: Parameter['in']) =>
    given.filter((one) => one.in === place).map((one) => [one, values.parameters[one.name]] as const);
  let path = template;
  for (const [one, value] of written('path')) path = path.replace(`{${one.name}}`, () => pathText(one, value));
  const headers = written('header').map(([{ name }, value]) => [name.toLowerCase(), joined(value, String)] as const);
  const cookies = written('cookie').map(([{ name }, value]) => `${name}=${joined(value, encode)}`);
  const hasBody = body !== undefined && 'body' in values;
  return {
    method,
    path,
    query: written('query')
      .flatMap(([one, value]) => queryFields(one, value))
      .join('&'),
    headers: [
      ...headers,
      ...(cookies.length > 0 ? [['cookie', cookies.join('; ')] as const] : []),
      ...(hasBody ? [['content-type', body.mediaType] as const] : []),
    ],
    body: hasBody ? bodyText(body.mediaType, values.body) : undefined,
  };
}

function pathText({ name, style, explode }: Parameter, value: unknown): string {
  if (style === 'label') return `.${joined(value, encode, explode ? '.' : ',')}`;
  if (style !== 'matrix') return joined(value, encode);
  return explode && Array.isArray(value)
    ? value.map((item) => `;${name}=${encode(item)}`).join('')
    : `;${name}=${joined(value, encode)}`;
}

function queryFields({ name, style, explode }: Parameter, value: unknown): readonly string[] {
  if (style === 'json') return [`${name}=${encode(JSON.stringify(value))}`];
  if (isRecord(value)) {
    const key = (of: string) => (style === 'deepObject' ? `${name}%5B${of}%5D` : of);
    return Object.entries(value).map(([of, member]) => `${key(of)}=${encode(member)}`);
  }
  if (Array.isArray(value) && explode) return value.map((item) => `${name}=${encode(item)}`);
  const comma = style === 'spaceDelimited' ? '%20' : style === 'pipeDelimited' ? '%7C' : ',';
  return [`${name}=${joined(value, encode, comma)}`];
}

function bodyText(mediaType: string, value: unknown): string {
  if (mediaType === 'application/json') return JSON.stringify(value);
  return Object.entries(record(value))
    .flatMap(([name, member]) => (Array.isArray(member) ? member : [member]).map((item) => `${name}=${encode(item)}`))
    .join('&');
}

function joined(value: unknown, write: (item: unknown) => string, comma = ','): string {
  return Array.isArray(value) ? value.map(write).join(comma) : write(value);
}

/** All but the unreserved characters (RFC 3986 §2.3). */
function encode(value: unknown): string {
  return encodeURIComponent(String(value)).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** Numbers as other programs write them, and OpenAPI's JSON does not: 16, 10, 7 and 5 to a lenient reader. */
const OTHER_NUMBERS = ['0x10', '1e1', '07', '+5'];

/** All requests that are wrong in one way and else as the valid values say. */
export function* wrongRequests(operation: Operation, values: Values, resolve: Resolve): Generator<WrongRequest> {
  const write = (changed: Values) => writeRequest(operation, changed);
  for (const parameter of operation.parameters) {
    const { name, in: place } = parameter;
    const at = (value: unknown) => write({ ...values, parameters: { ...values.parameters, [name]: value } });
    const base = { operation: operation.id, place, pointer: `/${name}`, code: 'invalid_parameter' };
    const value = values.parameters[name];
    if (value === undefined || isChoice(parameter)) continue;
    for (const one of brokenValues(parameter.schema, value, resolve)) {
      if (parameter.style !== 'json' && !hasText(one)) continue;
      // An empty list or object leaves no trace; an empty segment of a path makes another path.
      if ((isEmpty(one.value) && !parameter.isRequired) || (place === 'path' && one.value === '')) continue;
      const { keyword, pointer } = one;
      const isSpread = keyword === 'additionalProperties' && parameter.style === 'form';
      const told = isSpread
        ? { code: 'unknown_parameter', pointer: '/surplus', told: 'unknown' }
        : { pointer: `/${name}${pointer}`, told: keyword };
      yield { ...base, keyword, ...told, request: at(one.value) };
    }
    if (record(parameter.schema).type === 'integer') {
      for (const text of OTHER_NUMBERS) yield { ...base, keyword: 'number', told: 'type', request: at(text) };
    }
    if (parameter.isRequired && place !== 'path')
      yield { ...base, keyword: 'required', told: 'required', request: at(undefined) };
  }
  yield* wrongBodies(operation, values, resolve);
  yield* wrongAtLarge(operation, write(values));
}

function* wrongBodies(operation: Operation, values: Values, resolve: Resolve): Generator<WrongRequest> {
  const { body } = operation;
  if (body === undefined || values.body === undefined) return;
  const base = { operation: operation.id, place: 'body', pointer: '', told: undefined };
  const write = (changed: Values) => writeRequest(operation, changed);
  const isJson = body.mediaType === 'application/json';
  for (const one of brokenValues(body.schema, values.body, resolve)) {
    if (!isJson && (!hasText(one) || isEmpty(one.value))) continue;
    const { keyword, pointer } = one;
    const request = write({ ...values, body: one.value });
    yield { ...base, keyword, pointer, code: 'invalid_body', told: keyword, request };
  }
  const valid = write(values);
  const others = valid.headers.filter(([name]) => name !== 'content-type');
  const asText = { ...valid, headers: [...others, ['content-type', 'text/csv'] as const] };
  yield { ...base, keyword: 'mediaType', code: 'unsupported_media_type', request: asText };
  if (isJson) {
    const request = { ...valid, body: `${valid.body}}` };
    yield { ...base, keyword: 'malformed', code: 'malformed_body', told: 'json', request };
  }
  if (body.isRequired) {
    const request = { ...valid, headers: others, body: undefined };
    yield { ...base, keyword: 'missing', code: 'missing_body', request };
  }
}

function* wrongAtLarge({ id, parameters }: Operation, valid: WholeRequest): Generator<WrongRequest> {
  const base = { operation: id, place: 'request', pointer: '', told: undefined };
  const fields = valid.query === '' ? [] : valid.query.split('&');
  const withField = (field: string) => ({ ...valid, query: [...fields, field].join('&') });
  const unknown = { pointer: '/surplus', keyword: 'unknown', code: 'unknown_parameter', told: 'unknown' };
  yield { ...base, ...unknown, request: withField('surplus=1') };
  const once = parameters.find(
    (parameter) =>
      parameter.in === 'query' &&
      record(parameter.schema).type !== 'array' &&
      !isChoice(parameter) &&
      fields.some((field) => field.startsWith(`${parameter.name}=`)),
  );
  const repeated = fields.find((field) => field.startsWith(`${once?.name}=`));
  if (repeated !== undefined) {
    const twice = { pointer: `/${once?.name}`, keyword: 'repeated', code: 'invalid_parameter', told: 'duplicate' };
    yield { ...base, ...twice, request: withField(repeated) };
  }
  const elsewhere = { ...valid, path: `${valid.path}/surplus/surplus/surplus` };
  yield { ...base, keyword: 'path', code: 'undocumented_path', request: elsewhere };
  yield { ...base, keyword: 'method', code: 'undocumented_method', request: { ...valid, method: 'TRACE' } };
}

/** As text, what breaks one branch may be of another. */
function isChoice({ schema }: Parameter): boolean {
  return ['oneOf', 'anyOf'].some((keyword) => keyword in record(schema));
}

/** Whether what is broken can be told from its text: `77` is a string as well, and null is none. */
function hasText({ keyword, broken, types }: Breaking): boolean {
  if (keyword !== 'type') return true;
  const isText = typeof broken !== 'object';
  return isText && types !== undefined && !types.some((type) => ['string', 'array', 'object'].includes(type));
}

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

function record(value: unknown): Json {
  return isRecord(value) ? value : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
