import type { RefusalDetail } from '../../error/refusal.ts';
import { type FlatHeaders, withoutSpace } from '../../http/flat-headers.ts';
import type { ApiParameter } from '../api-model.ts';
import {
  add,
  arrayValue,
  BROKEN,
  type Candidates,
  type Decode,
  decodeAll,
  deepProperty,
  delimitedCandidates,
  objectValue,
  takesOpenNames,
} from '../decode/parameter-value.ts';
import { decodeFormText, type FormField, MAX_FORM_FIELDS, parseForm } from '../decode/parse-form.ts';
import { scanJson } from '../decode/scan-json.ts';
import { decodePercent } from '../path-template.ts';
import type { OperationSettings, RuntimeOperation, RuntimeParameter } from '../runtime-operation.ts';
import { pointerTo, validate } from '../schema/validation-details.ts';
import { WorkExceeded } from '../schema/work-budget.ts';

/** Of a property of an object in style `deepObject`. */
const ONE_LEVEL = /^[^[\]]+$/;

/** What is wrong with the parameters of a request. */
export interface ParameterFaults {
  readonly invalid: readonly RefusalDetail[];
  /** Names in the query that the operation does not declare. */
  readonly unknown: readonly string[];
}

/** Decoded name to raw texts (undefined: no `=`), in order. */
type QueryFields = ReadonlyMap<string, readonly string[]>;

type Details = readonly RefusalDetail[];
const VALID: Details = [];
const asIs: Decode = (text) => text;
const NONE: ParameterFaults = { invalid: [], unknown: [] };

/** Holds all parameters of a request against an operation. `pathValues` are raw, in the template's order. */
export function judgeParameters(
  operation: RuntimeOperation,
  pathValues: readonly string[],
  query: string,
  headers: FlatHeaders,
): ParameterFaults {
  const invalid: RefusalDetail[] = [];
  for (const runtime of operation.path) {
    const raw = pathValues[runtime.position];
    invalid.push(...judgeText(runtime, raw === undefined ? [] : [raw], decodePercent, operation));
  }
  const unknown = query === '' && operation.query.length === 0 ? NONE.unknown : judgeQuery(operation, query, invalid);
  if (operation.header.length > 0) invalid.push(...judgeHeaders(operation.header, headers, operation.settings));
  if (operation.cookie.length > 0) {
    const given = cookieTexts(headers);
    for (const runtime of operation.cookie) {
      invalid.push(...judgeText(runtime, given.get(runtime.key) ?? [], decodePercent, operation));
    }
  }
  return invalid.length === 0 && unknown.length === 0 ? NONE : { invalid, unknown };
}

/** Holds header fields, of a request or response, against their declarations; empty: they are valid. */
export function judgeHeaders(
  declared: readonly RuntimeParameter[],
  headers: FlatHeaders,
  settings: OperationSettings,
): readonly RefusalDetail[] {
  const given = headerTexts(declared, headers);
  return declared.flatMap((runtime) => {
    const texts = given.get(runtime.key) ?? [];
    // RFC 6265 §3: each cookie has a field of its own, and they are not joined.
    const apart = runtime.key === 'set-cookie' && texts.length > 1 ? texts.map((text) => [text]) : [texts];
    return apart.flatMap((some) => judgeText(runtime, some, asIs, { settings }));
  });
}

/** By each of its shapes, until one fits; what is told is what is wrong with the first. */
function byShapes(runtime: RuntimeParameter, judge: (shaped: RuntimeParameter) => Details): Details {
  try {
    const first = judge(runtime);
    if (first.length === 0 || runtime.alternatives.length === 0) return first;
    return runtime.alternatives.some((shaped) => judge(shaped).length === 0) ? VALID : first;
  } catch (error) {
    if (!(error instanceof WorkExceeded)) throw error;
    return refusal(runtime.parameter, 'work', error.message);
  }
}

/** A parameter whose whole text stands in one place. */
function judgeText(
  runtime: RuntimeParameter,
  texts: readonly string[],
  decode: Decode,
  operation: Pick<RuntimeOperation, 'settings'>,
): Details {
  return byShapes(runtime, (shaped) => judgeShapedText(shaped, texts, decode, operation));
}

function judgeShapedText(
  runtime: RuntimeParameter,
  texts: readonly string[],
  decode: Decode,
  operation: Pick<RuntimeOperation, 'settings'>,
): Details {
  const { parameter } = runtime;
  const [raw, ...more] = texts;
  if (raw === undefined) return missing(parameter);
  // RFC 9110 §5.3: a list may be spread over several header fields.
  const isList = parameter.in === 'header' && parameter.shape.kind !== 'primitive';
  if (more.length > 0 && !isList) return refusal(parameter, 'duplicate', 'is given more than once');
  if (raw === '' && more.length === 0 && parameter.allowsEmptyValue) return VALID;
  const text = texts.join();
  // Optional whitespace around the commas of a list is none of its items (RFC 9110 §5.6.1).
  const list = isList ? text.split(',').map(withoutSpace).join() : text;
  return judgeCandidates(runtime, candidatesOf(list, parameter, decode, operation));
}

function candidatesOf(
  raw: string,
  parameter: ApiParameter,
  decode: Decode,
  { settings }: Pick<RuntimeOperation, 'settings'>,
): Candidates | { readonly problem: string } {
  if (parameter.style !== 'json') return delimitedCandidates(raw, parameter, decode);
  const text = decode(raw);
  if (text === undefined) return BROKEN;
  const fault = scanJson(text, settings.json);
  return fault === undefined ? [JSON.parse(text)] : { problem: `is not JSON: ${fault.reason} at ${fault.offset + 1}` };
}

function judgeCandidates(
  { parameter, validator }: RuntimeParameter,
  candidates: Candidates | { readonly problem: string },
): Details {
  if ('problem' in candidates) return refusal(parameter, 'encoding', candidates.problem);
  const pointer = pointerTo(parameter.name);
  let first: readonly RefusalDetail[] | undefined;
  for (const value of candidates) {
    const details = validate(validator, value, parameter.in, pointer);
    if (details === undefined) return VALID;
    first ??= details;
  }
  return first ?? VALID;
}

function missing(parameter: ApiParameter): Details {
  return parameter.isRequired ? refusal(parameter, 'required', 'is missing') : VALID;
}

function refusal(parameter: ApiParameter, keyword: string, message: string): Details {
  return [{ in: parameter.in, pointer: pointerTo(parameter.name), keyword, message }];
}

/** Judges the query; returns the names that no parameter declares. */
function judgeQuery(operation: RuntimeOperation, query: string, invalid: RefusalDetail[]): readonly string[] {
  const parsed = parseForm(query);
  if (parsed === undefined) {
    invalid.push({ in: 'query', pointer: '', keyword: 'maxItems', message: `has more than ${MAX_FORM_FIELDS} fields` });
    return [];
  }
  const fields = byName(parsed, invalid);
  const open = new Set(fields.keys());
  // An exploded object with additionalProperties takes what the others leave.
  let rest: RuntimeParameter | undefined;
  for (const runtime of operation.query) {
    if (takesOpenNames(runtime.parameter)) rest ??= runtime;
    else invalid.push(...byShapes(runtime, (shaped) => judgeQueryParameter(shaped, fields, open, operation)));
  }
  if (rest !== undefined) {
    invalid.push(...byShapes(rest, (shaped) => judgeFields(shaped, fields, [...open], (name) => name, open)));
  }
  return [...open];
}

function byName(parsed: readonly FormField[], invalid: RefusalDetail[]): QueryFields {
  const fields = new Map<string, string[]>();
  for (const { name, raw } of parsed) {
    if (name === undefined) {
      invalid.push({ in: 'query', pointer: '', keyword: 'encoding', message: 'a name has a broken percent-encoding' });
    } else {
      add(fields, name, raw ?? '');
    }
  }
  return fields;
}

function judgeQueryParameter(
  runtime: RuntimeParameter,
  fields: QueryFields,
  open: Set<string>,
  operation: RuntimeOperation,
): Details {
  const { parameter } = runtime;
  const { shape, style, explode, name } = parameter;
  if (shape.kind === 'object' && style === 'deepObject') {
    const names = [...open].filter((candidate) => candidate.startsWith(`${name}[`));
    return judgeFields(runtime, fields, names, (full) => deepProperty(full, name) ?? full, open);
  }
  if (shape.kind === 'object' && style === 'form' && explode) {
    const names = Object.keys(shape.properties).filter((property) => open.has(property));
    return judgeFields(runtime, fields, names, (property) => property, open);
  }
  open.delete(name);
  const texts = fields.get(name) ?? [];
  const isRepeatable = shape.kind === 'array' && explode && style !== 'json';
  if (!isRepeatable) return judgeText(runtime, texts, decodeFormText, operation);
  if (texts.length === 0) return missing(parameter);
  if (texts.length === 1 && texts[0] === '' && parameter.allowsEmptyValue) return VALID;
  const items = decodeAll(texts);
  return judgeCandidates(runtime, items === undefined ? BROKEN : [arrayValue(items, shape)]);
}

/** An object whose properties are fields of their own. */
function judgeFields(
  runtime: RuntimeParameter,
  fields: QueryFields,
  names: readonly string[],
  property: (name: string) => string,
  open: Set<string>,
): Details {
  const { parameter } = runtime;
  const { shape } = parameter;
  if (shape.kind !== 'object') return VALID;
  if (names.length === 0) return missing(parameter);
  const decoded = new Map<string, readonly string[]>();
  for (const name of names) {
    open.delete(name);
    const texts = decodeAll(fields.get(name) ?? []);
    if (texts === undefined) return refusal(parameter, 'encoding', BROKEN.problem);
    // `a[b][c]` and `a[]`: what programs make of them differs, and is not what stands here.
    if (parameter.style === 'deepObject' && !ONE_LEVEL.test(property(name))) {
      return refusal(parameter, 'encoding', 'has a name that is not of one level');
    }
    decoded.set(property(name), texts);
  }
  const value = objectValue(decoded, shape);
  const isTwice = typeof value === 'string';
  return judgeCandidates(runtime, isTwice ? { problem: 'has a property more than once' } : [value]);
}

function headerTexts(
  declared: readonly RuntimeParameter[],
  headers: FlatHeaders,
): ReadonlyMap<string, readonly string[]> {
  const texts = new Map<string, string[]>();
  for (let index = 0; index < headers.length; index += 2) {
    const name = (headers[index] ?? '').toLowerCase();
    const key = declared.some((runtime) => runtime.key === name) ? name : dashedKey(declared, name);
    if (key !== undefined) add(texts, key, withoutSpace(headers[index + 1] ?? ''));
  }
  return texts;
}

/** The declared field that apps behind CGI and its heirs take one with `_` in its name for: `x_role` is X-Role to them. */
function dashedKey(declared: readonly RuntimeParameter[], name: string): string | undefined {
  if (!name.includes('_')) return undefined;
  const dashed = name.replaceAll('_', '-');
  return declared.find(({ key }) => key.replaceAll('_', '-') === dashed)?.key;
}

/** RFC 6265 §5.4; over HTTP/2 cookies may come in several fields (RFC 9113 §8.2.3). */
function cookieTexts(headers: FlatHeaders): ReadonlyMap<string, readonly string[]> {
  const texts = new Map<string, string[]>();
  for (let index = 0; index < headers.length; index += 2) {
    if ((headers[index] ?? '').toLowerCase() !== 'cookie') continue;
    for (const pair of (headers[index + 1] ?? '').split(';')) {
      const equals = pair.indexOf('=');
      if (equals > 0) add(texts, withoutSpace(pair.slice(0, equals)), unquoted(withoutSpace(pair.slice(equals + 1))));
    }
  }
  return texts;
}

/** RFC 6265 §4.1.1: the quotes around a cookie's value are not of the value. */
function unquoted(value: string): string {
  return value.length > 1 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value;
}
