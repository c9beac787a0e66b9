import type { OpenApiVersion } from './openapi-version.ts';

type Check = (value: unknown) => boolean;

const TYPES = new Set<unknown>(['string', 'number', 'integer', 'boolean', 'array', 'object', 'null']);

const isNumber: Check = (value) => typeof value === 'number' && Number.isFinite(value);
const isCount: Check = (value) => typeof value === 'number' && Number.isInteger(value) && value >= 0;
const isBoolean: Check = (value) => typeof value === 'boolean';
const isString: Check = (value) => typeof value === 'string';
const isStrings: Check = (value) => Array.isArray(value) && value.every(isString);
const isList: Check = Array.isArray;

const number = [isNumber, 'a number'] as const;
const count = [isCount, 'a whole number from 0'] as const;
const text = [isString, 'a string'] as const;

/** What the value of each keyword must be. Source: JSON Schema 2020-12, Validation §6. */
const VALUES: { readonly [keyword: string]: readonly [Check, string] } = {
  multipleOf: [(value) => typeof value === 'number' && value > 0, 'a number above 0'],
  maximum: number,
  minimum: number,
  maxLength: count,
  minLength: count,
  maxItems: count,
  minItems: count,
  maxProperties: count,
  minProperties: count,
  maxContains: count,
  minContains: count,
  uniqueItems: [isBoolean, 'true or false'],
  pattern: text,
  format: text,
  required: [isStrings, 'a list of names'],
  enum: [isList, 'a list of values'],
};

/** What is wrong with the value of a keyword, or undefined. */
export function keywordComplaint(keyword: string, value: unknown, version: OpenApiVersion): string | undefined {
  if (keyword === 'type') return typeComplaint(value, version);
  const [check, expected] = valueRule(keyword, version) ?? [];
  return check === undefined || check(value) ? undefined : `${keyword} must be ${expected}`;
}

function valueRule(keyword: string, version: OpenApiVersion): readonly [Check, string] | undefined {
  if (keyword === 'exclusiveMaximum' || keyword === 'exclusiveMinimum') {
    return version === '3.0' ? [isBoolean, 'true or false in OpenAPI 3.0'] : [isNumber, 'a number in OpenAPI 3.1'];
  }
  return Object.hasOwn(VALUES, keyword) ? VALUES[keyword] : undefined;
}

function typeComplaint(value: unknown, version: OpenApiVersion): string | undefined {
  // OpenAPI 3.0 §4.7.24 has neither lists nor null; documents have them, and mean what draft-04 means by them.
  const names: readonly unknown[] = Array.isArray(value) ? value : [value];
  const isKnown = names.length > 0 && names.every((name) => TYPES.has(name));
  return isKnown ? undefined : `type ${JSON.stringify(value)} is not one of OpenAPI ${version}`;
}
