import equal from 'ajv/dist/runtime/equal.js';
import ucs2length from 'ajv/dist/runtime/ucs2length.js';
import type { Unit } from './api-model.ts';
import { SchemaEvaluator, type SchemaUnit } from './evaluate-schema.ts';
import { formats } from './formats.ts';
import { joinErrors } from './join-errors.ts';
import { isMultipleOf } from './multiple-of.ts';
import { compilePattern } from './pattern.ts';
import { hasUniqueItems } from './unique-items.ts';
import { countCall, countItem } from './work-budget.ts';

/** Tells whether a value is valid; after false, `errors` says why. */
export interface Validator {
  (value: unknown): boolean;
  readonly errors?: unknown;
}

/** One instantiated unit: its validators by name. */
export type ValidatorUnit = ReadonlyMap<string, Validator>;

/** All that generated code can require. There is no way from it to any other module. */
const MODULES: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ['ajv/dist/runtime/equal', { default: equal.default }],
  ['ajv/dist/runtime/ucs2length', { default: ucs2length.default }],
  ['lateral/formats', { formats }],
  ['lateral/join-errors', { joinErrors }],
  ['lateral/multiple-of', { isMultipleOf }],
  ['lateral/pattern', { compilePattern }],
  ['lateral/unique-items', { hasUniqueItems }],
  ['lateral/work-budget', { countCall, countItem }],
]);

/** After so many characters of source the event loop gets its turn: V8 reads them in about half a millisecond. */
const SLICE_CHARACTERS = 32 * 1024;
/** A pattern counts as so many characters: compiling one takes up to some milliseconds. */
const PATTERN_CHARACTERS = 8 * 1024;

/** Makes functions of generated sources, in slices that leave the event loop free. */
export async function instantiateValidators(sources: readonly Unit[]): Promise<readonly ValidatorUnit[]> {
  const units: ValidatorUnit[] = [];
  let characters = 0;
  for (const source of sources) {
    const cost = costOf(source);
    if (characters > 0 && characters + cost > SLICE_CHARACTERS) {
      await turn();
      characters = 0;
    }
    characters += cost;
    units.push(instantiate(source));
  }
  return units;
}

function costOf(unit: Unit): number {
  if (typeof unit !== 'string') return 0; // nothing is read before the first value comes
  return unit.length + PATTERN_CHARACTERS * (unit.split('const pattern').length - 1);
}

function evaluated(unit: SchemaUnit): ValidatorUnit {
  const evaluator = new SchemaEvaluator(unit);
  return new Map(Object.entries(unit.exported).map(([exported, name]) => [exported, validatorOf(evaluator, name)]));
}

function validatorOf(evaluator: SchemaEvaluator, name: string): Validator {
  const validator = (value: unknown): boolean => {
    const error = evaluator.judge(name, value);
    validator.errors = error === undefined ? undefined : [error];
    return error === undefined;
  };
  validator.errors = undefined as readonly unknown[] | undefined;
  return validator;
}

function instantiate(source: Unit): ValidatorUnit {
  if (typeof source !== 'string') return evaluated(source);
  const exported: { [name: string]: unknown } = {};
  // The source is made by Ajv out of a checked schema, in our own worker; only its strings come from outside.
  new Function('require', 'exports', source)(requireModule, exported);
  const unit = new Map<string, Validator>();
  for (const [name, value] of Object.entries(exported)) if (isValidator(value)) unit.set(name, value);
  return unit;
}

function requireModule(name: string): unknown {
  const module = MODULES.get(name);
  if (module === undefined) throw new Error(`generated code wants the module ${name}, which it must not have`);
  return module;
}

function isValidator(value: unknown): value is Validator {
  return typeof value === 'function';
}

function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
