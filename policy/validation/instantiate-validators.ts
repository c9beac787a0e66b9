import equal from 'ajv/dist/runtime/equal.js';
import ucs2length from 'ajv/dist/runtime/ucs2length.js';
import { isRecord } from '../schema/schema.ts';
import type { Unit } from './api-model.ts';
import { MessageJudge } from './protobuf/judge-message.ts';
import { choiceError } from './schema/choice-error.ts';
import type { SchemaUnit } from './schema/converted-schema.ts';
import type { NamesUnit } from './schema/declared-names.ts';
import { memberOf } from './schema/enum-values.ts';
import { SchemaEvaluator } from './schema/evaluate-schema.ts';
import { formats } from './schema/formats.ts';
import { joinErrors } from './schema/join-errors.ts';
import { isMultipleOf } from './schema/multiple-of.ts';
import { patternWhenUsed } from './schema/pattern.ts';
import { hasUniqueItems } from './schema/unique-items.ts';
import { countItem, countMaking, spendWork } from './schema/work-budget.ts';

/** Tells whether a value is valid; after false, `errors` says why. */
export interface Validator {
  (value: unknown): boolean;
  readonly errors?: unknown;
}

/** One instantiated unit: its validators by name. */
type Instance = ReadonlyMap<string, Validator>;

/** All that generated code can require, besides `link` of its own document. There is no way from it to any other module. */
const MODULES: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ['ajv/dist/runtime/equal', { default: equal.default }],
  ['ajv/dist/runtime/ucs2length', { default: ucs2length.default }],
  ['lateral/enum-values', { memberOf }],
  ['lateral/formats', { formats }],
  ['lateral/join-errors', { joinErrors }],
  ['lateral/multiple-of', { isMultipleOf }],
  ['lateral/pattern', { compilePattern: patternWhenUsed }],
  ['lateral/unique-items', { hasUniqueItems }],
  ['lateral/work-budget', { countItem, spendWork }],
]);

/** Where the generated code of a unit exports the one schema that others link to, or a body is held against. */
export const MAIN_EXPORT = 'b0';

/**
 * The validators of one document. A unit becomes functions when a value first comes to it: units are small and call each other by
 * links, so that nobody waits for what is not used, and nothing is held for it but its source.
 */
export class DocumentValidators {
  readonly #units: readonly Unit[];
  readonly #instances = new Map<number, Instance>();
  readonly #messages = new Map<number, MessageJudge>();
  readonly #require: (name: string) => unknown;

  constructor(units: readonly Unit[]) {
    this.#units = units;
    const links = {
      link: (index: number) => this.validator(index, MAIN_EXPORT),
      choose: (choice: Choice) => this.#choice(choice),
    };
    this.#require = (name) => (name === 'lateral/link' ? links : requireModule(name));
  }

  /** A validator of a unit; that the unit has none of that name is told when it is called. */
  validator(index: number, name: string): Validator {
    let target: Validator | undefined;
    const validator = (value: unknown): boolean => {
      target ??= this.#target(index, name);
      if (target(value)) return true;
      validator.errors = target.errors;
      return false;
    };
    validator.errors = undefined as unknown;
    return validator;
  }

  /** The validator of the unit that the value of a property names. */
  #choice({ property, branches }: Choice): Validator {
    const validators = new Map(
      Object.entries(branches).map(([tag, index]) => [tag, this.validator(index, MAIN_EXPORT)] as const),
    );
    const validator = (value: unknown): boolean => {
      const tag = isRecord(value) && Object.hasOwn(value, property) ? value[property] : undefined;
      const chosen = typeof tag === 'string' ? validators.get(tag) : undefined;
      if (chosen?.(value) === true) return true;
      validator.errors = chosen === undefined ? [choiceError(value, property, tag)] : chosen.errors;
      return false;
    };
    validator.errors = undefined as unknown;
    return validator;
  }

  /** The declared names of a unit. */
  names(index: number): NamesUnit {
    const unit = this.#units[index];
    if (typeof unit !== 'object' || unit.kind !== 'names') throw new Error(`unit ${index} holds no names`);
    return unit;
  }

  /** The judge of a unit's messages. */
  messages(index: number): MessageJudge {
    const known = this.#messages.get(index);
    if (known !== undefined) return known;
    const unit = this.#units[index];
    if (typeof unit !== 'object' || unit.kind !== 'messages') throw new Error(`unit ${index} holds no messages`);
    const judge = new MessageJudge(unit);
    this.#messages.set(index, judge);
    return judge;
  }

  #target(index: number, name: string): Validator {
    const validator = this.#instance(index).get(name);
    if (validator === undefined) throw new Error(`unit ${index} has no validator ${name}`);
    return validator;
  }

  #instance(index: number): Instance {
    const known = this.#instances.get(index);
    if (known !== undefined) return known;
    const made = this.#instantiate(index);
    this.#instances.set(index, made);
    const unit = this.#units[index];
    if (typeof unit === 'string') countMaking(unit.length);
    return made;
  }

  #instantiate(index: number): Instance {
    const unit = this.#units[index];
    if (unit === undefined) throw new Error(`there is no unit ${index}`);
    if (typeof unit !== 'string') return unit.kind === 'schema' ? evaluating(unit) : new Map();
    const exported: { [name: string]: unknown } = {};
    // The source is made by Ajv out of a checked schema, in our own worker; only its strings come from outside.
    new Function('require', 'exports', unit)(this.#require, exported);
    const instance = new Map<string, Validator>();
    for (const [name, value] of Object.entries(exported)) if (isValidator(value)) instance.set(name, value);
    return instance;
  }
}

/** By the value of a property: the index of the unit that holds. */
interface Choice {
  readonly property: string;
  readonly branches: { readonly [tag: string]: number };
}

function evaluating(unit: SchemaUnit): Instance {
  const evaluator = new SchemaEvaluator(unit);
  return new Map(
    Object.entries(unit.exported).map(([exported, name]): [string, Validator] => {
      const validator = (value: unknown): boolean => {
        const error = evaluator.judge(name, value);
        validator.errors = error === undefined ? undefined : [error];
        return error === undefined;
      };
      validator.errors = undefined as readonly unknown[] | undefined;
      return [exported, validator];
    }),
  );
}

function requireModule(name: string): unknown {
  const module = MODULES.get(name);
  if (module === undefined) throw new Error(`generated code wants the module ${name}, which it must not have`);
  return module;
}

function isValidator(value: unknown): value is Validator {
  return typeof value === 'function';
}
