import type { Version } from './whole-request-documents.ts';

/** A keyword that values are not made from at random: one body that fits, and one that breaks it alone. */
export interface KeywordCase {
  readonly versions: readonly Version[];
  readonly keyword: string;
  readonly schema: object;
  readonly fits: unknown;
  readonly breaks: unknown;
}

const BOTH: readonly Version[] = ['3.0.3', '3.1.0'];
const OLD: readonly Version[] = ['3.0.3'];
const NEW: readonly Version[] = ['3.1.0'];

const refer = (name: string) => ({ $ref: `#/components/schemas/${name}` });
const properties = (schemas: object, more: object = {}) => ({ type: 'object', properties: schemas, ...more });
/** Written so, nothing takes it for a promise. */
const implies = (condition: object, consequence: object) =>
  Object.fromEntries([
    ['if', condition],
    ['then', consequence],
  ]);
const string = { type: 'string' };
const integer = { type: 'integer' };
const ofKind = (kind: string, name: string) =>
  properties({ kind: { type: 'string', enum: [kind] }, [name]: integer }, { required: ['kind', name] });

function cases(versions: readonly Version[], ...rows: readonly (readonly [string, object, unknown, unknown])[]) {
  return rows.map(([keyword, schema, fits, breaks]): KeywordCase => ({ versions, keyword, schema, fits, breaks }));
}

const COMPONENTS = {
  Cat: ofKind('cat', 'lives'),
  Dog: ofKind('dog', 'tricks'),
  Short: { type: 'string', maxLength: 3 },
  Base: properties({ a: integer }),
};

export const KEYWORD_CASES: readonly KeywordCase[] = [
  ...cases(
    BOTH,
    ['not', { not: { type: 'string' } }, 1, 'a'],
    ['not', properties({ a: { not: { enum: [1, 2] } } }), { a: 3 }, { a: 2 }],
    ['minProperties', { type: 'object', minProperties: 2 }, { a: 1, b: 2 }, { a: 1 }],
    ['type', { type: 'object', additionalProperties: string }, { a: 'b' }, { a: 1 }],
    ['required', { allOf: [refer('Base'), { required: ['a', 'b'] }] }, { a: 1, b: 1 }, { a: 1 }],
    ['oneOf', { oneOf: [{ type: 'integer' }, { type: 'number', minimum: 5 }] }, 3, 7],
    ['anyOf', { anyOf: [{ type: 'integer' }, { type: 'number', minimum: 5 }] }, 7, 1.5],
    [
      'required',
      {
        oneOf: [refer('Cat'), refer('Dog')],
        discriminator: {
          propertyName: 'kind',
          mapping: { cat: '#/components/schemas/Cat', dog: '#/components/schemas/Dog' },
        },
      },
      { kind: 'cat', lives: 9 },
      { kind: 'cat', tricks: 9 },
    ],
    ['multipleOf', { type: 'number', multipleOf: 0.01 }, 1.13, 1.131],
    ['pattern', { type: 'string', pattern: '^\\p{Lu}' }, 'É', 'é'],
    ['maxLength', { type: 'string', maxLength: 1 }, '😀', '😀a'],
    [
      'uniqueItems',
      { type: 'array', items: {}, uniqueItems: true },
      [1, true, '1', { a: 1, b: [1] }],
      [
        { a: 1, b: 2 },
        { b: 2, a: 1 },
      ],
    ],
    [
      'required',
      { type: 'object', required: ['__proto__', 'constructor'] },
      JSON.parse('{"__proto__":1,"constructor":1}'),
      { constructor: 1 },
    ],
  ),
  ...cases(
    OLD,
    ['type', properties({ a: { type: 'string', nullable: true } }), { a: null }, { a: 1 }],
    ['type', properties({ a: { type: 'string' } }), { a: 'b' }, { a: null }],
    ['maximum', { type: 'integer', maximum: 5, exclusiveMaximum: true }, 4, 5],
    // What stands beside a $ref is ignored (OpenAPI 3.0.3 §4.7.23).
    ['maxLength', properties({ a: { ...refer('Short'), maxLength: 1 } }), { a: 'abc' }, { a: 'abcd' }],
  ),
  ...cases(
    NEW,
    ['const', { const: null }, null, 0],
    ['const', { const: { a: [1] } }, { a: [1] }, { a: [2] }],
    ['type', { type: ['string', 'null'] }, null, 1],
    [
      'required',
      implies(properties({ a: { const: 1 } }, { required: ['a'] }), { required: ['b'] }),
      { a: 1, b: 1 },
      { a: 1 },
    ],
    ['required', { if: { type: 'array' }, else: { required: ['b'] } }, [], {}],
    ['type', { type: 'array', prefixItems: [integer, string], minItems: 2, items: false }, [1, 'a'], [1, 1]],
    ['items', { type: 'array', prefixItems: [integer], minItems: 1, items: false }, [1], [1, 1]],
    ['contains', { type: 'array', contains: integer }, ['a', 1], ['a']],
    ['contains', { type: 'array', contains: integer, minContains: 2 }, [1, 2], [1]],
    ['contains', { type: 'array', contains: integer, maxContains: 1 }, [1], [1, 2]],
    ['type', { type: 'object', patternProperties: { '^x-': integer } }, { 'x-a': 1, y: 'a' }, { 'x-a': 'a' }],
    ['additionalProperties', { patternProperties: { '^x-': {} }, additionalProperties: false }, { 'x-a': 1 }, { y: 1 }],
    ['propertyNames', { propertyNames: { maxLength: 2 } }, { ab: 1 }, { abc: 1 }],
    ['dependentRequired', { dependentRequired: { a: ['b'] } }, { b: 1 }, { a: 1 }],
    ['required', { dependentSchemas: { a: { required: ['c'] } } }, { a: 1, c: 1 }, { a: 1 }],
    [
      'unevaluatedProperties',
      { allOf: [refer('Base')], properties: { b: integer }, unevaluatedProperties: false },
      { a: 1, b: 1 },
      { a: 1, c: 1 },
    ],
    ['items', { prefixItems: [integer], minItems: 1, items: false, unevaluatedItems: false }, [1], [1, 2]],
    ['unevaluatedItems', { type: 'array', contains: integer, unevaluatedItems: false }, [1, 2], [1, 'a']],
    ['maxLength', properties({ a: { ...refer('Short'), maxLength: 1 } }), { a: 'a' }, { a: 'ab' }],
    ['exclusiveMaximum', { type: 'integer', maximum: 9, exclusiveMaximum: 5 }, 4, 5],
  ),
];

/** `POST /kINDEX` takes bodies of the schema of that case. */
export function keywordDocument(version: Version) {
  const paths = KEYWORD_CASES.flatMap(({ versions, schema }, index) => {
    const requestBody = { required: true, content: { 'application/json': { schema } } };
    const post = { operationId: `k${index}`, requestBody, responses: { 204: { description: 'done' } } };
    return versions.includes(version) ? [[`/k${index}`, { post }]] : [];
  });
  return {
    openapi: version,
    info: { title: 'keywords', version: '1' },
    paths: Object.fromEntries(paths),
    components: { schemas: COMPONENTS },
  };
}
