import { Ajv2020 } from 'ajv/dist/2020.js';
import { strConcat } from 'ajv/dist/compile/codegen/code.js';
import names from 'ajv/dist/compile/names.js';
import type AjvCore from 'ajv/dist/core.js';
import { _, type KeywordCxt, type Options, stringify } from 'ajv/dist/core.js';
import standalone from 'ajv/dist/standalone/index.js';
import draft04 from 'ajv-draft-04';
import { isRecord } from '../../schema/schema.ts';
import { CHOICE_KEYWORD } from './choice-error.ts';
import { ITEM_WORK_KEYWORD, WORK_KEYWORD } from './convert-schema.ts';
import type { ConvertedSchema } from './converted-schema.ts';
import { formats } from './formats.ts';
import { joinErrors } from './join-errors.ts';
import { isMultipleOf } from './multiple-of.ts';
import type { OpenApiVersion } from './openapi-version.ts';
import { patternWhenUsed } from './pattern.ts';
import { hasUniqueItems } from './unique-items.ts';
import { countItem, spendWork } from './work-budget.ts';

/** After so many schemas the compiler begins anew: Ajv keeps all it ever saw. */
const SCHEMAS_A_COMPILER = 200;

/** Turns converted schemas into the sources of CommonJS modules by Ajv. One for all schemas of a document. */
export class SchemaCompiler {
  readonly #version: OpenApiVersion;
  #linked: AjvCore.default | undefined;
  #count = 0;

  constructor(version: OpenApiVersion) {
    this.#version = version;
  }

  /**
   * Source of a module that exports validators of the schemas under the given names; `$ref`s call the units whose index `linkOf` gives.
   * Throws an Error where one cannot be compiled.
   */
  compileLinked(exported: { readonly [name: string]: ConvertedSchema }, linkOf: (name: string) => number): string {
    if (this.#count >= SCHEMAS_A_COMPILER) this.#linked = undefined;
    this.#linked ??= linkedAjv(this.#version);
    const keys: { [exported: string]: string } = {};
    for (const [name, schema] of Object.entries(exported)) {
      const key = `s${this.#count++}`;
      this.#linked.addSchema(withLinks(schema, linkOf), key);
      keys[name] = key;
    }
    return withJoinedErrors(standalone.default(this.#linked, keys));
  }

  /**
   * The same in one module, with all that the schemas refer to: what a schema has looked at must be known where another asks for the rest
   * (`unevaluatedProperties`).
   */
  compileWhole(exported: { readonly [name: string]: string }, schemas: ReadonlyMap<string, ConvertedSchema>): string {
    const ajv = newAjv(this.#version);
    for (const [name, schema] of schemas) ajv.addSchema(mutable(schema), name);
    return withJoinedErrors(standalone.default(ajv, { ...exported }));
  }
}

function newAjv(version: OpenApiVersion): AjvCore.default {
  const options: Options = {
    strict: false,
    // `1e999` is read as Infinity, which is no number of JSON.
    strictNumbers: true,
    allErrors: false,
    // Names such as `constructor` are properties only where the value has them.
    ownProperties: true,
    logger: false,
    addUsedSchema: false,
    // Generating code checks the type of each keyword's value; compiling the meta-schema would take half the time.
    meta: false,
    validateSchema: false,
    code: {
      source: true,
      regExp: Object.assign((pattern: string) => patternWhenUsed(pattern), {
        code: 'require("lateral/pattern").compilePattern',
      }),
      formats: _`require("lateral/formats").formats`,
    },
    formats: { ...formats },
  };
  const ajv = version === '3.0' ? new draft04.default(options) : new Ajv2020(options);
  addKeywords(ajv);
  return ajv;
}

/** Keyword that takes the place of `$ref`: the index of the unit that is called. */
const LINK_KEYWORD = 'x-lateral-link';

function linkedAjv(version: OpenApiVersion): AjvCore.default {
  const ajv = newAjv(version);
  // Nobody asks a linked schema what it has looked at.
  ajv.opts.unevaluated = false;
  ajv.addKeyword({
    keyword: LINK_KEYWORD,
    schemaType: 'number',
    code(context) {
      callLink(context, _`require("lateral/link").link(${Number(context.schema)})`);
    },
  });
  ajv.addKeyword({
    keyword: CHOICE_KEYWORD,
    schemaType: 'object',
    code(context) {
      callLink(context, _`require("lateral/link").choose(${stringify(context.schema)})`);
    },
  });
  return ajv;
}

/** Has a validator of another unit called, and its first error taken over. */
function callLink(context: KeywordCxt, code: ReturnType<typeof _>): void {
  const { gen, data, it } = context;
  const link = gen.scopeValue('func', { ref: {}, key: code.toString(), code });
  const join = gen.scopeValue('func', {
    ref: joinErrors,
    code: _`require("lateral/join-errors").joinErrors`,
  });
  context.result(_`${link}(${data})`, undefined, () => {
    const path = strConcat(names.default.instancePath, it.errorPath);
    gen.assign(names.default.vErrors, _`${join}(${names.default.vErrors}, ${link}.errors, ${path})`);
    gen.assign(names.default.errors, _`${names.default.vErrors}.length`);
  });
}

/** Keywords whose values are data: what looks like a reference there is none. */
const DATA_KEYWORDS: ReadonlySet<string> = new Set(['enum', 'const', 'dependentRequired']);
/** Keywords whose values hold schemas by names that are no keywords. */
const NAMED_SCHEMAS: ReadonlySet<string> = new Set([
  ...['properties', 'patternProperties', 'dependentSchemas', 'dependencies'],
]);

function withLinks(
  schema: ConvertedSchema,
  linkOf: (name: string) => number,
): { [keyword: string]: unknown } | boolean {
  if (!isRecord(schema)) return schema;
  return Object.fromEntries(
    Object.entries(schema).map(([keyword, value]): [string, unknown] => {
      if (keyword === '$ref') return [LINK_KEYWORD, linkOf(String(value))];
      if (keyword === CHOICE_KEYWORD) return [keyword, linkedChoice(value, linkOf)];
      if (DATA_KEYWORDS.has(keyword) || typeof value !== 'object') return [keyword, value];
      return [keyword, linkedValue(value, NAMED_SCHEMAS.has(keyword), linkOf)];
    }),
  );
}

function linkedChoice(choice: unknown, linkOf: (name: string) => number): unknown {
  if (!isRecord(choice) || !isRecord(choice.branches)) return choice;
  const branches = Object.entries(choice.branches).map(([tag, name]) => [tag, linkOf(String(name))]);
  return { ...choice, branches: Object.fromEntries(branches) };
}

function linkedValue(value: unknown, isNamed: boolean, linkOf: (name: string) => number): unknown {
  if (Array.isArray(value)) return value.map((item: unknown) => linkedValue(item, false, linkOf));
  if (!isRecord(value)) return value;
  if (!isNamed) return withLinks(value, linkOf);
  return Object.fromEntries(Object.entries(value).map(([name, schema]) => [name, linkedValue(schema, false, linkOf)]));
}

/** How Ajv takes over the errors of a schema that another refers to. */
const TAKEN_OVER = /vErrors = vErrors === null \? ([\w.]+)\.errors : vErrors\.concat\(\1\.errors\);/g;

/** Has one error of each failed reference kept in place of all (see join-errors.ts). */
function withJoinedErrors(source: string): string {
  const joined = source.replace(TAKEN_OVER, 'vErrors = joinErrors(vErrors, $1.errors);');
  if (joined.includes('vErrors.concat(')) throw new Error('unexpected form of generated code');
  return joined === source ? source : `${joined}const joinErrors = require("lateral/join-errors").joinErrors;`;
}

function mutable(schema: ConvertedSchema): { [keyword: string]: unknown } | boolean {
  return isRecord(schema) ? { ...schema } : schema;
}

function addKeywords(ajv: AjvCore.default): void {
  // Work is counted before it is done: ahead of anyOf and its like, which come in the group without a type.
  const before = ajv.RULES.rules.find(({ type }) => type === undefined)?.rules[0]?.keyword;
  const first = before === undefined ? {} : { before };
  // Ajv's own compares each item with each: a body of 1 MiB could take minutes.
  ajv.removeKeyword('uniqueItems');
  ajv.addKeyword({
    keyword: 'uniqueItems',
    type: 'array',
    schemaType: 'boolean',
    error: { message: 'must NOT have duplicate items' },
    code(context) {
      if (context.schema !== true) return;
      const check = context.gen.scopeValue('func', {
        ref: hasUniqueItems,
        code: _`require("lateral/unique-items").hasUniqueItems`,
      });
      context.pass(_`${check}(${context.data})`);
    },
  });
  // Ajv's own compares with each entry: 5,000 of them and as many texts took a second.
  ajv.removeKeyword('enum');
  ajv.addKeyword({
    keyword: 'enum',
    schemaType: 'array',
    error: { message: 'must be equal to one of the allowed values' },
    code(context) {
      const code = _`require("lateral/enum-values").memberOf(${stringify(context.schema)})`;
      const check = context.gen.scopeValue('func', { ref: {}, key: code.toString(), code });
      context.pass(_`${check}(${context.data})`);
    },
  });
  // Ajv's own divides doubles: 0.3 is no multiple of 0.1 to it, and 1e308 one of 0.123456789.
  ajv.removeKeyword('multipleOf');
  ajv.addKeyword({
    keyword: 'multipleOf',
    type: 'number',
    schemaType: 'number',
    error: { message: ({ schema }) => `must be multiple of ${String(schema)}` },
    code(context) {
      const check = context.gen.scopeValue('func', {
        ref: isMultipleOf,
        code: _`require("lateral/multiple-of").isMultipleOf`,
      });
      context.pass(_`${check}(${context.data}, ${Number(context.schema)})`);
    },
  });
  // An annotation to Ajv; here it stands where a response must not have the property (see convert-schema.ts).
  ajv.removeKeyword('writeOnly');
  ajv.addKeyword({
    keyword: 'writeOnly',
    schemaType: 'boolean',
    error: { message: 'must not be in a response: it is writeOnly' },
    code: (context) => context.fail(),
  });
  ajv.addKeyword({
    keyword: WORK_KEYWORD,
    schemaType: 'number',
    ...first,
    code({ gen, schema }) {
      const spend = gen.scopeValue('func', { ref: spendWork, code: _`require("lateral/work-budget").spendWork` });
      gen.code(_`${spend}(${Number(schema)})`);
    },
  });
  ajv.addKeyword({
    keyword: ITEM_WORK_KEYWORD,
    schemaType: 'boolean',
    ...first,
    code({ gen }) {
      const count = gen.scopeValue('func', { ref: countItem, code: _`require("lateral/work-budget").countItem` });
      gen.code(_`${count}()`);
    },
  });
}
