import { Ajv2020 } from 'ajv/dist/2020.js';
import type AjvCore from 'ajv/dist/core.js';
import { _, type Options } from 'ajv/dist/core.js';
import standalone from 'ajv/dist/standalone/index.js';
import draft04 from 'ajv-draft-04';
import { isRecord } from '../schema/schema.ts';
import { type ConvertedSchema, ITEM_WORK_KEYWORD, WORK_KEYWORD } from './convert-schema.ts';
import { formats } from './formats.ts';
import { isMultipleOf } from './multiple-of.ts';
import type { OpenApiVersion } from './openapi-version.ts';
import { compilePattern } from './pattern.ts';
import { hasUniqueItems } from './unique-items.ts';
import { countCall, countItem } from './work-budget.ts';

/** Turns converted schemas into the source of a CommonJS module by Ajv. One for all schemas of a document. */
export class SchemaCompiler {
  readonly #ajv: AjvCore.default;
  readonly #added = new Set<string>();

  constructor(version: OpenApiVersion) {
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
        regExp: Object.assign((pattern: string) => compilePattern(pattern), {
          code: 'require("lateral/pattern").compilePattern',
        }),
        formats: _`require("lateral/formats").formats`,
      },
      formats: { ...formats },
    };
    this.#ajv = version === '3.0' ? new draft04.default(options) : new Ajv2020(options);
    addKeywords(this.#ajv);
  }

  /**
   * Source of a module whose exports validate the schemas under the given names. `schemas` holds them and all
   * they refer to. Throws an Error where one cannot be compiled.
   */
  compile(exported: { readonly [name: string]: string }, schemas: ReadonlyMap<string, ConvertedSchema>): string {
    for (const [name, schema] of schemas) {
      if (this.#added.has(name)) continue;
      this.#ajv.addSchema(mutable(schema), name);
      this.#added.add(name);
    }
    return withJoinedErrors(standalone.default(this.#ajv, { ...exported }));
  }
}

/** How Ajv takes over the errors of a schema that another refers to. */
const TAKEN_OVER = /vErrors = vErrors === null \? ([\w.]+)\.errors : vErrors\.concat\(\1\.errors\);/g;

/**
 * Has one error of each failed reference kept in place of all: with alternatives in a recursive schema they
 * would double at each level of the body, and take all memory.
 */
function withJoinedErrors(source: string): string {
  const joined = source.replace(TAKEN_OVER, 'vErrors = joinErrors(vErrors, $1.errors);');
  if (joined.includes('vErrors.concat(')) throw new Error('unexpected form of generated code');
  return `${joined}const joinErrors = require("lateral/join-errors").joinErrors;`;
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
    schemaType: 'boolean',
    ...first,
    code({ gen }) {
      const count = gen.scopeValue('func', { ref: countCall, code: _`require("lateral/work-budget").countCall` });
      gen.code(_`${count}()`);
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
