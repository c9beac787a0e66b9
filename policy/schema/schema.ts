import { nearestSpelling } from './nearest-spelling.ts';

/**
 * Schemas of resources and configuration: the one place where a field's type, default and
 * meaning are stated. From a schema come the TypeScript type (`Infer`), the reader with its
 * error messages, and the JSON Schema that CRDs and reference pages are generated from.
 */
export type JsonSchema = { readonly [key: string]: unknown };

/** Where in a document a value stands: keys and indexes from its root. */
export type Path = readonly (string | number)[];

/** Takes the problems found while reading; the caller knows file and position. */
export interface ReadContext {
  /** `at: 'key'` points at the name of the last path step, not at its value. */
  fail(path: Path, code: ReadCode, message: string, at?: 'key'): void;
  warn(path: Path, code: ReadCode, message: string, at?: 'key'): void;
}

export type ReadCode =
  | 'unknown_field'
  | 'missing_field'
  | 'invalid_type'
  | 'invalid_value'
  | 'foreign_host'
  | 'not_implemented'
  | 'suspicious_value'
  | 'unknown_kind'
  | 'unknown_api_version';

/** A schema of values of type T. `read` returns undefined after it has reported a problem. */
export interface Schema<T> {
  readonly json: JsonSchema;
  read(value: unknown, path: Path, context: ReadContext): T | undefined;
}

export type Infer<S> = S extends Schema<infer T> ? T : never;

/** A field of an object: how it behaves when it is absent. */
export interface Field<T> {
  readonly schema: Schema<unknown>;
  readonly isRequired: boolean;
  /** Value in force when the field is absent. */
  readonly absent: T | undefined;
}

type Fields = { readonly [name: string]: Field<unknown> };
type ObjectOf<F extends Fields> = { readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never };

export function required<T>(schema: Schema<T>): Field<T> {
  return { schema, isRequired: true, absent: undefined };
}

export function optional<T>(schema: Schema<T>): Field<T | undefined> {
  return { schema, isRequired: false, absent: undefined };
}

/** `written`: the default as documents have it, where that is another form than it is read in. */
export function defaulted<T>(schema: Schema<T>, value: T, written: unknown = value): Field<T> {
  return { schema: withJson(schema, { default: written }), isRequired: false, absent: value };
}

/** A field the contract names but this version does not have yet: its presence is an error, never skipped. */
export function planned(what: string): Field<undefined> {
  return { schema: plannedSchema(what), isRequired: false, absent: undefined };
}

function plannedSchema(what: string): Schema<never> {
  return {
    json: { description: `Not implemented in this version: ${what}.`, 'x-lateral-planned': true },
    read(_value, path, context) {
      context.fail(path, 'not_implemented', `${what} is not implemented in this version; remove it`, 'key');
      return undefined;
    },
  };
}

interface StringRules {
  readonly description?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  /** For the JSON Schema, so that an API server knows it too; `check` has the words. Without flags, as RE2 reads it. */
  readonly pattern?: RegExp;
  /** Returns what is wrong with the value, or undefined. */
  readonly check?: (value: string) => string | undefined;
}

/** A string; by default of 1 to 4,096 characters. */
export function string(rules: StringRules = {}): Schema<string> {
  const { minLength = 1, maxLength = 4096, pattern, check, description } = rules;
  return {
    json: {
      type: 'string',
      minLength,
      maxLength,
      ...(pattern === undefined ? {} : { pattern: pattern.source }),
      ...(description === undefined ? {} : { description }),
    },
    read(value, path, context) {
      if (typeof value !== 'string') return fail(context, path, `expected a string, got ${shown(value)}`);
      if (value.length < minLength) {
        context.fail(
          path,
          'invalid_value',
          minLength === 1 ? 'must not be empty' : `shorter than ${minLength} characters`,
        );
        return undefined;
      }
      if (value.length > maxLength) {
        context.fail(path, 'invalid_value', `${value.length} characters exceed the limit of ${maxLength}`);
        return undefined;
      }
      const complaint = check?.(value);
      if (complaint === undefined) return value;
      context.fail(path, 'invalid_value', complaint);
      return undefined;
    },
  };
}

/** One of a closed list of strings; those in `planned` are known but not implemented in this version. */
export function choice<const V extends readonly string[]>(
  values: V,
  options: { readonly planned?: readonly string[]; readonly description?: string } = {},
): Schema<V[number]> {
  const { planned: later = [], description } = options;
  return {
    json: { type: 'string', enum: [...values], ...(description === undefined ? {} : { description }) },
    read(value, path, context) {
      const found = values.find((candidate) => candidate === value);
      if (found !== undefined) return found;
      if (typeof value === 'string' && later.includes(value)) {
        context.fail(
          path,
          'not_implemented',
          `${value} is not implemented in this version; use ${values.join(' or ')}`,
        );
        return undefined;
      }
      const near = typeof value === 'string' ? nearestSpelling(value, values) : undefined;
      const hint = near === undefined ? '' : `; did you mean ${near}?`;
      return fail(context, path, `expected one of ${values.join(', ')}, got ${shown(value)}${hint}`);
    },
  };
}

export function boolean(description?: string): Schema<boolean> {
  return {
    json: { type: 'boolean', ...(description === undefined ? {} : { description }) },
    read(value, path, context) {
      if (typeof value === 'boolean') return value;
      return fail(context, path, `expected true or false, got ${shown(value)}`);
    },
  };
}

interface NumberRules {
  readonly minimum: number;
  readonly maximum: number;
  readonly description?: string;
}

export function integer(rules: NumberRules): Schema<number> {
  return numeric('integer', rules, Number.isInteger);
}

export function number(rules: NumberRules): Schema<number> {
  return numeric('number', rules, Number.isFinite);
}

export function port(description = 'A TCP port.'): Schema<number> {
  return integer({ minimum: 1, maximum: 65535, description });
}

function numeric(type: 'integer' | 'number', rules: NumberRules, isKind: (value: number) => boolean): Schema<number> {
  const { minimum, maximum, description } = rules;
  return {
    json: { type, minimum, maximum, ...(description === undefined ? {} : { description }) },
    read(value, path, context) {
      if (typeof value !== 'number' || !isKind(value)) {
        return fail(context, path, `expected ${type === 'integer' ? 'an integer' : 'a number'}, got ${shown(value)}`);
      }
      if (value < minimum || value > maximum) {
        context.fail(path, 'invalid_value', `${value} is outside of ${minimum} to ${maximum}`);
        return undefined;
      }
      return value;
    },
  };
}

/** Named bounds of lists and maps that do not state their own. */
const DEFAULT_MAX_ITEMS = 10_000;

/** A list; empty only where `minItems` is 0 (the default). */
export function list<T>(item: Schema<T>, rules: { minItems?: number; maxItems?: number } = {}): Schema<readonly T[]> {
  const { minItems = 0, maxItems = DEFAULT_MAX_ITEMS } = rules;
  return {
    json: { type: 'array', items: item.json, minItems, maxItems },
    read(value, path, context) {
      if (!Array.isArray(value)) return fail(context, path, `expected a list, got ${shown(value)}`);
      if (value.length < minItems || value.length > maxItems) {
        const bound = value.length < minItems ? `at least ${minItems}` : `at most ${maxItems}`;
        context.fail(path, 'invalid_value', `a list of ${value.length} entries; expected ${bound}`);
        return undefined;
      }
      const items: T[] = [];
      let isWhole = true;
      value.forEach((entry: unknown, index) => {
        const read = item.read(entry, [...path, index], context);
        if (read === undefined) isWhole = false;
        else items.push(read);
      });
      return isWhole ? items : undefined;
    },
  };
}

/** Names to values of one schema (labels, header names). */
export function map<T>(item: Schema<T>, description?: string): Schema<{ readonly [key: string]: T }> {
  return {
    json: { type: 'object', additionalProperties: item.json, ...(description === undefined ? {} : { description }) },
    read(value, path, context) {
      if (!isRecord(value)) return fail(context, path, `expected a mapping, got ${shown(value)}`);
      const entries: [string, T][] = [];
      let isWhole = true;
      for (const [key, entry] of Object.entries(value)) {
        const read = item.read(entry, [...path, key], context);
        if (read === undefined) isWhole = false;
        else entries.push([key, read]);
      }
      return isWhole ? Object.fromEntries(entries) : undefined;
    },
  };
}

/** A mapping with exactly these fields; unknown ones are errors with the nearest spelling. */
export function object<F extends Fields>(fields: F, description?: string): Schema<ObjectOf<F>> {
  const names = Object.keys(fields);
  const properties = Object.fromEntries(names.map((name) => [name, fields[name]?.schema.json ?? {}]));
  const requiredNames = names.filter((name) => fields[name]?.isRequired === true);
  return {
    json: {
      type: 'object',
      ...(description === undefined ? {} : { description }),
      properties,
      ...(requiredNames.length === 0 ? {} : { required: requiredNames }),
    },
    read(value, path, context) {
      if (!isRecord(value)) return fail(context, path, `expected a mapping, got ${shown(value)}`);
      for (const key of Object.keys(value)) {
        if (Object.hasOwn(fields, key)) continue;
        const near = nearestSpelling(key, names);
        const hint = near === undefined ? `known: ${names.join(', ')}` : `did you mean ${near}?`;
        context.fail([...path, key], 'unknown_field', `unknown field ${key}; ${hint}`, 'key');
      }
      const result: { [name: string]: unknown } = {};
      let isWhole = true;
      for (const name of names) {
        const field = fields[name];
        if (field === undefined) continue;
        const given = value[name];
        if (given === undefined || given === null) {
          if (field.isRequired) {
            context.fail(path, 'missing_field', `missing field ${name}`);
            isWhole = false;
          }
          result[name] = field.absent;
          continue;
        }
        const read = field.schema.read(given, [...path, name], context);
        if (read === undefined) isWhole = false;
        result[name] = read;
      }
      return isWhole ? (result as ObjectOf<F>) : undefined; // built field by field from F just above
    },
  };
}

/** The same schema with a further rule on the whole value, e.g. "one of these two fields". */
export function refined<T>(
  schema: Schema<T>,
  check: (value: T, path: Path, context: ReadContext) => boolean,
): Schema<T> {
  return {
    json: schema.json,
    read(value, path, context) {
      const read = schema.read(value, path, context);
      return read !== undefined && check(read, path, context) ? read : undefined;
    },
  };
}

/** The same schema for what is read again later: the value as it is written, without defaults, once it is known to be good. */
export function asWritten(schema: Schema<unknown>): Schema<unknown> {
  return {
    json: schema.json,
    read: (value, path, context) => (schema.read(value, path, context) === undefined ? undefined : value),
  };
}

/** A rule in CEL, and what is said where it does not hold. */
export interface CelRule {
  readonly rule: string;
  readonly message: string;
}

/**
 * The same schema, with rules that the API server of Kubernetes holds values against as well (in CEL, `self` being the value).
 * The reader does not know CEL: the same must be said to it by `refined` or the kind's `check`. Fields without a type
 * (planned ones, schema documents) are out of CEL's sight, and within long lists the API server finds any rule too costly.
 */
export function withCel<T>(schema: Schema<T>, ...rules: readonly CelRule[]): Schema<T> {
  const before = schema.json['x-kubernetes-validations'];
  return withJson(schema, { 'x-kubernetes-validations': [...(Array.isArray(before) ? before : []), ...rules] });
}

/** Any JSON value, kept as it is (schema documents). */
export function anything(description: string): Schema<unknown> {
  return { json: { 'x-kubernetes-preserve-unknown-fields': true, description }, read: (value) => value };
}

export function described<T>(schema: Schema<T>, description: string): Schema<T> {
  return withJson(schema, { description });
}

function withJson<T>(schema: Schema<T>, more: JsonSchema): Schema<T> {
  return { json: { ...schema.json, ...more }, read: (value, path, context) => schema.read(value, path, context) };
}

function fail(context: ReadContext, path: Path, message: string): undefined {
  context.fail(path, 'invalid_type', message);
  return undefined;
}

export function isRecord(value: unknown): value is { readonly [key: string]: unknown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Longest excerpt of a value in a message. */
const MAX_SHOWN_LENGTH = 60;

function shown(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a mapping';
  const text = JSON.stringify(value) ?? String(value);
  return text.length > MAX_SHOWN_LENGTH ? `${text.slice(0, MAX_SHOWN_LENGTH)}…` : text;
}
