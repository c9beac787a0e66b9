import ucs2length from 'ajv/dist/runtime/ucs2length.js';
import { isRecord } from '../../schema/schema.ts';
import { CHOICE_KEYWORD, choiceError } from './choice-error.ts';
import type { SchemaUnit } from './converted-schema.ts';
import { memberOf } from './enum-values.ts';
import { formats } from './formats.ts';
import { isMultipleOf } from './multiple-of.ts';
import { type Pattern, patternWhenUsed } from './pattern.ts';
import { hasUniqueItems } from './unique-items.ts';
import { countItem, spendWork } from './work-budget.ts';

/** The first thing that was found wrong, in the form that generated validators give. */
export interface SchemaError {
  readonly instancePath: string;
  readonly keyword: string;
  readonly message: string;
  readonly params: { readonly [name: string]: unknown };
}

const NO_REASON = (): SchemaError => ({ instancePath: '', keyword: 'schema', message: 'is not valid', params: {} });

/** Where `$dynamicRef` points to: what is in force is known only when it is met. */
interface DynamicReference {
  readonly name: string;
  /** Undefined: it behaves as `$ref`. */
  readonly anchor: string | undefined;
}

/** A list of the schema resources entered, innermost first. */
interface Scope {
  readonly resource: string;
  readonly outer: Scope | undefined;
}

/** A place in the value; the path is only written where something is wrong. */
interface Place {
  readonly step: string | number;
  readonly outer: Place | undefined;
}

/** What of an array or object a schema has looked at, for `unevaluatedItems` and `unevaluatedProperties`. */
interface Evaluated {
  readonly names: Set<string>;
  /** Items before this index. */
  items: number;
  /** Items by `contains`. */
  readonly indexes: Set<number>;
}

type Schema = { readonly [keyword: string]: unknown };

/** What holding a value against a schema costs at least, what a property of it does, and what a reference adds. */
const SCHEMA_WORK = 20;
const PROPERTY_WORK = 10;
const CALL_WORK = 20;

/** Evaluates values by the rules of JSON Schema 2020-12, annotations and dynamic scope included. */
export class SchemaEvaluator {
  readonly #unit: SchemaUnit;
  readonly #patterns = new Map<string, Pattern>();
  /** Written down where the value as a whole is invalid: alternatives fail by the thousand. */
  #failure = NO_REASON;

  constructor(unit: SchemaUnit) {
    this.#unit = unit;
  }

  /** Undefined: the value is valid against the schema of this name. */
  judge(name: string, value: unknown): SchemaError | undefined {
    this.#failure = NO_REASON;
    if (this.#byName(name, value, undefined, undefined, undefined)) return undefined;
    return this.#failure();
  }

  #byName(
    name: string,
    value: unknown,
    place: Place | undefined,
    scope: Scope | undefined,
    evaluated: Evaluated | undefined,
  ): boolean {
    spendWork(CALL_WORK);
    const schema = this.#unit.schemas.get(name);
    if (schema === undefined) throw new Error(`no schema ${name}`);
    const resource = this.#unit.resources.get(name) ?? '';
    const inner = scope?.resource === resource ? scope : { resource, outer: scope };
    return this.#schema(schema, value, place, inner, evaluated);
  }

  #schema(
    schema: unknown,
    value: unknown,
    place: Place | undefined,
    scope: Scope,
    evaluated: Evaluated | undefined,
  ): boolean {
    if (schema === true) return true;
    if (!isRecord(schema)) return this.#fail(place, 'false schema', 'boolean schema is false');
    spendWork(SCHEMA_WORK);
    const needsOwn = 'unevaluatedProperties' in schema || 'unevaluatedItems' in schema;
    const seen = needsOwn || evaluated !== undefined ? newEvaluated() : undefined;
    const isValid =
      this.#assertions(schema, value, place) &&
      this.#references(schema, value, place, scope, seen) &&
      this.#combinations(schema, value, place, scope, seen) &&
      this.#conditions(schema, value, place, scope, seen) &&
      (!Array.isArray(value) || this.#array(schema, value, place, scope, seen)) &&
      (!isRecord(value) || this.#object(schema, value, place, scope, seen)) &&
      (seen === undefined || this.#unevaluated(schema, value, place, scope, seen));
    if (isValid && evaluated !== undefined && seen !== undefined) take(evaluated, seen);
    return isValid;
  }

  #assertions(schema: Schema, value: unknown, place: Place | undefined): boolean {
    const fault = assertionFault(schema, value) ?? this.#patternFault(schema, value);
    if (fault === undefined) return true;
    return this.#fail(place, fault.keyword, fault.message, fault.params);
  }

  #patternFault({ pattern }: Schema, value: unknown): Fault | undefined {
    if (typeof pattern !== 'string' || typeof value !== 'string') return undefined;
    if (this.#pattern(pattern).test(value)) return undefined;
    return { keyword: 'pattern', message: `must match pattern "${pattern}"` };
  }

  #pattern(source: string): Pattern {
    const known = this.#patterns.get(source) ?? patternWhenUsed(source);
    this.#patterns.set(source, known);
    return known;
  }

  #references(
    { $ref, $dynamicRef, [CHOICE_KEYWORD]: choice }: Schema,
    value: unknown,
    place: Place | undefined,
    scope: Scope,
    seen: Evaluated | undefined,
  ): boolean {
    if (typeof $ref === 'string' && !this.#byName($ref, value, place, scope, seen)) return false;
    if (isRecord(choice) && !this.#choice(choice, value, place, scope, seen)) return false;
    if (!isDynamicReference($dynamicRef)) return true;
    return this.#byName(this.#dynamicTarget($dynamicRef, scope), value, place, scope, seen);
  }

  #choice(
    choice: Schema,
    value: unknown,
    place: Place | undefined,
    scope: Scope,
    seen: Evaluated | undefined,
  ): boolean {
    const property = String(choice.property);
    const tag = isRecord(value) && Object.hasOwn(value, property) ? value[property] : undefined;
    const { branches } = choice;
    const name =
      isRecord(branches) && typeof tag === 'string' && Object.hasOwn(branches, tag) ? branches[tag] : undefined;
    if (typeof name === 'string') return this.#byName(name, value, place, scope, seen);
    const { keyword, message } = choiceError(value, property, tag);
    return this.#fail(tag === undefined ? place : { step: property, outer: place }, keyword, message);
  }

  /** The outermost resource entered that has the anchor. Source: JSON Schema 2020-12, Core §8.2.3.2. */
  #dynamicTarget({ name, anchor }: DynamicReference, scope: Scope): string {
    let target = name;
    if (anchor === undefined) return target;
    for (let at: Scope | undefined = scope; at !== undefined; at = at.outer) {
      target = this.#unit.dynamicAnchors.get(at.resource)?.get(anchor) ?? target;
    }
    return target;
  }

  #combinations(
    schema: Schema,
    value: unknown,
    place: Place | undefined,
    scope: Scope,
    seen: Evaluated | undefined,
  ): boolean {
    const { allOf, anyOf, oneOf, not } = schema;
    const holds = (branch: unknown) => this.#schema(branch, value, place, scope, seen);
    if (Array.isArray(allOf) && !allOf.every(holds)) return false;
    // With annotations every branch of anyOf counts; without, the first that holds will do.
    if (Array.isArray(anyOf) && !(seen === undefined ? anyOf.some(holds) : anyOf.filter(holds).length > 0)) {
      return this.#fail(place, 'anyOf', 'must match a schema in anyOf');
    }
    if (Array.isArray(oneOf) && !this.#hasOne(oneOf, holds)) {
      return this.#fail(place, 'oneOf', 'must match exactly one schema in oneOf');
    }
    if (not === undefined || !this.#schema(not, value, place, scope, undefined)) return true;
    return this.#fail(place, 'not', 'must NOT be valid');
  }

  #hasOne(branches: readonly unknown[], holds: (branch: unknown) => boolean): boolean {
    let count = 0;
    for (const branch of branches) {
      if (holds(branch)) count += 1;
      if (count > 1) return false;
    }
    return count === 1;
  }

  #conditions(
    schema: Schema,
    value: unknown,
    place: Place | undefined,
    scope: Scope,
    seen: Evaluated | undefined,
  ): boolean {
    if (!('if' in schema)) return true;
    const branch = this.#schema(schema.if, value, place, scope, seen) ? schema.then : schema.else;
    return branch === undefined || this.#schema(branch, value, place, scope, seen);
  }

  #array(
    schema: Schema,
    value: readonly unknown[],
    place: Place | undefined,
    scope: Scope,
    seen: Evaluated | undefined,
  ): boolean {
    const { prefixItems, items, contains } = schema;
    const fixed: readonly unknown[] = Array.isArray(prefixItems) ? prefixItems : [];
    if (items === false && value.length > fixed.length)
      return this.#fail(place, 'items', `must NOT have more than ${fixed.length} items`);
    const end = items === undefined ? Math.min(fixed.length, value.length) : value.length;
    for (let index = 0; index < end; index++) {
      const item = index < fixed.length ? fixed[index] : items;
      if (!this.#schema(item, value[index], { step: index, outer: place }, scope, undefined)) return false;
    }
    if (seen !== undefined) seen.items = Math.max(seen.items, end);
    return contains === undefined || this.#contains(schema, value, place, scope, seen);
  }

  #contains(
    { contains, minContains, maxContains }: Schema,
    value: readonly unknown[],
    place: Place | undefined,
    scope: Scope,
    seen: Evaluated | undefined,
  ): boolean {
    const least = typeof minContains === 'number' ? minContains : 1;
    const most = typeof maxContains === 'number' ? maxContains : Number.POSITIVE_INFINITY;
    let count = 0;
    for (const [index, item] of value.entries()) {
      countItem();
      if (!this.#schema(contains, item, { step: index, outer: place }, scope, undefined)) continue;
      count += 1;
      seen?.indexes.add(index);
    }
    if (count >= least && count <= most) return true;
    const limit = most === Number.POSITIVE_INFINITY ? `at least ${least}` : `${least} to ${most}`;
    return this.#fail(place, 'contains', `must contain ${limit} valid item(s)`);
  }

  #object(schema: Schema, value: Schema, place: Place | undefined, scope: Scope, seen: Evaluated | undefined): boolean {
    const { propertyNames, dependentSchemas } = schema;
    for (const name of Object.keys(value)) {
      if (propertyNames !== undefined && !this.#schema(propertyNames, name, place, scope, undefined)) return false;
      if (!this.#property(schema, name, value[name], place, scope, seen)) return false;
    }
    for (const [name, dependent] of isRecord(dependentSchemas) ? namedIn(dependentSchemas) : []) {
      if (Object.hasOwn(value, name) && !this.#schema(dependent, value, place, scope, seen)) return false;
    }
    return true;
  }

  #property(
    { properties, patternProperties, additionalProperties }: Schema,
    name: string,
    value: unknown,
    outer: Place | undefined,
    scope: Scope,
    seen: Evaluated | undefined,
  ): boolean {
    spendWork(PROPERTY_WORK);
    const place = { step: name, outer };
    let isDeclared = false;
    if (isRecord(properties) && Object.hasOwn(properties, name)) {
      isDeclared = true;
      if (!this.#schema(properties[name], value, place, scope, undefined)) return false;
    }
    for (const [pattern, schema] of isRecord(patternProperties) ? Object.entries(patternProperties) : []) {
      if (!this.#pattern(pattern).test(name)) continue;
      isDeclared = true;
      if (!this.#schema(schema, value, place, scope, undefined)) return false;
    }
    if (!isDeclared && additionalProperties !== undefined) {
      isDeclared = true;
      if (additionalProperties === false) return this.#surplus(outer, 'additionalProperties', name);
      if (!this.#schema(additionalProperties, value, place, scope, undefined)) return false;
    }
    if (isDeclared) seen?.names.add(name);
    return true;
  }

  #unevaluated(
    { unevaluatedItems, unevaluatedProperties }: Schema,
    value: unknown,
    place: Place | undefined,
    scope: Scope,
    seen: Evaluated,
  ): boolean {
    if (unevaluatedItems !== undefined && Array.isArray(value)) {
      for (let index = seen.items; index < value.length; index++) {
        if (seen.indexes.has(index)) continue;
        if (unevaluatedItems === false)
          return this.#fail(
            { step: index, outer: place },
            'unevaluatedItems',
            'must NOT be there: no schema declares it',
          );
        if (!this.#schema(unevaluatedItems, value[index], { step: index, outer: place }, scope, undefined))
          return false;
      }
      seen.items = value.length;
    }
    if (unevaluatedProperties === undefined || !isRecord(value)) return true;
    for (const name of Object.keys(value)) {
      if (seen.names.has(name)) continue;
      if (unevaluatedProperties === false) return this.#surplus(place, 'unevaluatedProperties', name);
      const at = { step: name, outer: place };
      if (!this.#schema(unevaluatedProperties, value[name], at, scope, undefined)) return false;
      seen.names.add(name);
    }
    return true;
  }

  #surplus(place: Place | undefined, keyword: string, name: string): false {
    const kind = keyword === 'additionalProperties' ? 'additional' : 'unevaluated';
    const params = kind === 'additional' ? { additionalProperty: name } : { unevaluatedProperty: name };
    return this.#fail(place, keyword, `must NOT have ${kind} properties`, params);
  }

  /** The last failure is that of the outermost schema: what failed within alternatives is none of its own. */
  #fail(place: Place | undefined, keyword: string, message: string, params: SchemaError['params'] = {}): false {
    this.#failure = () => ({ instancePath: pointer(place), keyword, message, params });
    return false;
  }
}

interface Fault {
  readonly keyword: string;
  readonly message: string;
  readonly params?: SchemaError['params'];
}

/** What of a value is wrong by itself, its items and properties aside. */
function assertionFault(schema: Schema, value: unknown): Fault | undefined {
  const { type, enum: values } = schema;
  if (type !== undefined && !hasType(value, type)) {
    return { keyword: 'type', message: `must be ${Array.isArray(type) ? type.join() : String(type)}` };
  }
  if (schema.writeOnly === true) return { keyword: 'writeOnly', message: 'must not be in a response: it is writeOnly' };
  if ('const' in schema && !isEqual(schema.const, value))
    return { keyword: 'const', message: 'must be equal to constant' };
  if (Array.isArray(values) && !isMember(values, value)) {
    return { keyword: 'enum', message: 'must be equal to one of the allowed values' };
  }
  const bound = boundFault(schema, value);
  if (bound !== undefined) return bound;
  if (isRecord(value)) return namesFault(schema, value);
  if (schema.uniqueItems === true && Array.isArray(value) && !hasUniqueItems(value)) {
    return { keyword: 'uniqueItems', message: 'must NOT have duplicate items' };
  }
  return typeof schema.format === 'string' ? formatFault(schema.format, value) : undefined;
}

/** Keywords that compare a measure of the value with a number. */
function boundFault(schema: Schema, value: unknown): Fault | undefined {
  if (typeof value === 'number') {
    const { multipleOf } = schema;
    if (typeof multipleOf === 'number' && !isMultipleOf(value, multipleOf)) {
      return { keyword: 'multipleOf', message: `must be multiple of ${multipleOf}` };
    }
    return (
      over(schema, 'maximum', '<=', value, (limit) => value <= limit) ??
      over(schema, 'exclusiveMaximum', '<', value, (limit) => value < limit) ??
      over(schema, 'minimum', '>=', value, (limit) => value >= limit) ??
      over(schema, 'exclusiveMinimum', '>', value, (limit) => value > limit)
    );
  }
  if (typeof value === 'string') {
    if (schema.maxLength === undefined && schema.minLength === undefined) return undefined;
    return counted(schema, 'Length', 'characters', ucs2length.default(value));
  }
  if (Array.isArray(value)) return counted(schema, 'Items', 'items', value.length);
  return isRecord(value) ? counted(schema, 'Properties', 'properties', Object.keys(value).length) : undefined;
}

function over(
  schema: Schema,
  keyword: string,
  sign: string,
  value: number,
  holds: (limit: number) => boolean,
): Fault | undefined {
  const limit = schema[keyword];
  if (typeof limit !== 'number' || (Number.isFinite(value) && holds(limit))) return undefined;
  return { keyword, message: `must be ${sign} ${limit}` };
}

function counted(schema: Schema, what: string, unit: string, count: number): Fault | undefined {
  const { [`max${what}`]: most, [`min${what}`]: least } = schema;
  if (typeof most === 'number' && count > most) {
    return { keyword: `max${what}`, message: `must NOT have more than ${most} ${unit}` };
  }
  if (typeof least !== 'number' || count >= least) return undefined;
  return { keyword: `min${what}`, message: `must NOT have fewer than ${least} ${unit}` };
}

const entries = new WeakMap<Schema, readonly (readonly [string, unknown])[]>();

/** What a keyword says of names, each of which is looked for in the value. */
function namedIn(named: Schema): readonly (readonly [string, unknown])[] {
  const known = entries.get(named) ?? Object.entries(named);
  entries.set(named, known);
  spendWork(known.length * PROPERTY_WORK);
  return known;
}

function namesFault({ required, dependentRequired }: Schema, value: Schema): Fault | undefined {
  if (Array.isArray(required)) spendWork(required.length * PROPERTY_WORK);
  for (const name of Array.isArray(required) ? required : []) {
    if (!Object.hasOwn(value, String(name))) {
      return { keyword: 'required', message: `must have required property '${String(name)}'` };
    }
  }
  for (const [name, others] of isRecord(dependentRequired) ? namedIn(dependentRequired) : []) {
    if (!Object.hasOwn(value, name) || !Array.isArray(others)) continue;
    const missing: unknown = others.find((other) => !Object.hasOwn(value, String(other)));
    if (missing === undefined) continue;
    return {
      keyword: 'dependentRequired',
      message: `must have property ${String(missing)} when property ${name} is present`,
    };
  }
  return undefined;
}

function formatFault(name: string, value: unknown): Fault | undefined {
  const format = Object.hasOwn(formats, name) ? formats[name] : undefined;
  if (format === undefined || format === true) return undefined;
  const isRight =
    typeof format === 'function'
      ? typeof value !== 'string' || format(value)
      : typeof value !== 'number' || format.validate(value);
  return isRight ? undefined : { keyword: 'format', message: `must match format "${name}"` };
}

function hasType(value: unknown, type: unknown): boolean {
  if (Array.isArray(type)) return type.some((one) => hasType(value, one));
  switch (type) {
    case 'null':
      return value === null;
    case 'array':
      return Array.isArray(value);
    case 'object':
      return isRecord(value);
    case 'integer':
      return Number.isInteger(value);
    case 'number':
      return typeof value === 'number' && Number.isFinite(value);
    default:
      return typeof value === type;
  }
}

/** As JSON values: 1.0 is 1, and the order of names means nothing. */
function isEqual(left: unknown, right: unknown): boolean {
  if (left === right) return true;
  spendWork(1);
  if (Array.isArray(left)) {
    return (
      Array.isArray(right) && left.length === right.length && left.every((item, index) => isEqual(item, right[index]))
    );
  }
  if (!isRecord(left) || !isRecord(right)) return false;
  const names = Object.keys(left);
  if (names.length !== Object.keys(right).length) return false;
  return names.every((name) => Object.hasOwn(right, name) && isEqual(left[name], right[name]));
}

/** By the list of an `enum`. */
const members = new WeakMap<readonly unknown[], (value: unknown) => boolean>();

function isMember(values: readonly unknown[], value: unknown): boolean {
  const known = members.get(values) ?? memberOf(values);
  members.set(values, known);
  return known(value);
}

function isDynamicReference(value: unknown): value is DynamicReference {
  return isRecord(value) && typeof value.name === 'string';
}

function newEvaluated(): Evaluated {
  return { names: new Set(), items: 0, indexes: new Set() };
}

function take(into: Evaluated, from: Evaluated): void {
  for (const name of from.names) into.names.add(name);
  for (const index of from.indexes) into.indexes.add(index);
  into.items = Math.max(into.items, from.items);
}

/** RFC 6901. */
function pointer(place: Place | undefined): string {
  const steps: string[] = [];
  for (let at = place; at !== undefined; at = at.outer) {
    steps.unshift(`/${String(at.step).replaceAll('~', '~0').replaceAll('/', '~1')}`);
  }
  return steps.join('');
}
