import fc from 'fast-check';
import { isRecord } from '#policy/schema/schema.ts';

type Json = { readonly [key: string]: unknown };

/** The names that generated schemas refer to each other by: `#/components/schemas/NAME`. */
export const SCHEMA_NAMES = ['First', 'Second', 'Third'] as const;

const text = fc
  .oneof(
    fc.record({ minLength: fc.nat(3), maxLength: fc.integer({ min: 3, max: 10 }) }, { requiredKeys: [] }),
    fc
      .constantFrom('^[a-z]{2,5}$', '^[A-Z0-9_-]*$', '^(red|green|blue)$', 'b+c', '^\\d{3}-\\d{4}$')
      .map((pattern) => ({ pattern })),
    fc.constantFrom('date-time', 'date', 'uuid', 'email', 'ipv4').map((format) => ({ format })),
  )
  .map((more): Json => ({ type: 'string', ...more }));

const numeric = fc
  .tuple(
    fc.constantFrom('integer', 'number'),
    fc.record(
      { minimum: fc.integer({ min: -50, max: 0 }), maximum: fc.integer({ min: 1, max: 90 }) },
      { requiredKeys: [] },
    ),
    fc.constantFrom<Json>(
      {},
      {},
      { multipleOf: 1 },
      { multipleOf: 3 },
      { multipleOf: 0.25 },
      { exclusiveMinimum: -60 },
      { exclusiveMaximum: 95 },
    ),
  )
  .map(([type, bounds, more]): Json => ({ type, ...bounds, ...more }));

const plain = fc.oneof(
  text,
  numeric,
  fc.constant<Json>({ type: 'boolean' }),
  fc.constant<Json>({ enum: ['a', 1, null, { b: [1] }] }),
  fc.constant<Json>({ const: { a: [1, 2] } }),
  fc.constant<Json>({ type: ['string', 'null'] }),
);

const reference = fc.constantFrom(...SCHEMA_NAMES).map((name): Json => ({ $ref: `#/components/schemas/${name}` }));

const NAMES = ['a', 'b', 'c', 'constructor', 'a/b~c'];

const { schema } = fc.letrec<{ schema: Json; object: Json; array: Json; several: Json }>((tie) => ({
  schema: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    plain,
    plain,
    reference,
    tie('object'),
    tie('object'),
    tie('array'),
    tie('several'),
  ),
  object: fc
    .tuple(
      fc.dictionary(fc.constantFrom(...NAMES), tie('schema'), { maxKeys: 4 }),
      fc.subarray(NAMES),
      fc.oneof(
        fc.constantFrom<Json>(
          {},
          {},
          { additionalProperties: false },
          { unevaluatedProperties: false },
          { maxProperties: 6 },
        ),
        tie('schema').map((additionalProperties): Json => ({ additionalProperties })),
      ),
    )
    .map(
      ([properties, names, more]): Json => ({
        type: 'object',
        properties,
        required: names.filter((name) => Object.hasOwn(properties, name)),
        ...more,
      }),
    ),
  array: fc
    .tuple(
      tie('schema'),
      fc.record({ minItems: fc.nat(2), maxItems: fc.integer({ min: 2, max: 4 }) }, { requiredKeys: [] }),
      fc.constantFrom<Json>({}, {}, { uniqueItems: true }, { contains: { type: 'integer' }, minContains: 0 }),
    )
    .map(([items, bounds, more]): Json => ({ type: 'array', items, ...bounds, ...more })),
  several: fc.oneof(
    fc.tuple(tie('object'), tie('object')).map(([left, right]): Json => ({ allOf: [left, right] })),
    fc.array(tie('schema'), { minLength: 1, maxLength: 3 }).map((oneOf): Json => ({ oneOf })),
    fc.array(tie('schema'), { minLength: 1, maxLength: 3 }).map((anyOf): Json => ({ anyOf })),
    tie('schema').map((not): Json => ({ not })),
    fc
      .tuple(tie('schema'), tie('schema'), tie('schema'))
      .map(([condition, then, otherwise]): Json => ({ if: condition, then, else: otherwise })),
  ),
}));

/**
 * Schemas of an OpenAPI 3.1 document that refer to each other: what is under `components.schemas`. None refers to itself
 * without a step into the value, which has no meaning (JSON Schema Core §9.4.1).
 */
export const schemasByName: fc.Arbitrary<{ readonly [name: string]: Json }> = fc
  .tuple(schema, schema, schema)
  .map((schemas) => Object.fromEntries(SCHEMA_NAMES.map((name, index) => [name, schemas[index] ?? {}])))
  .filter((schemas) =>
    SCHEMA_NAMES.every((name) => !isCircular({ $ref: `#/components/schemas/${name}` }, schemas, [])),
  );

function isCircular(value: unknown, schemas: { readonly [name: string]: Json }, open: readonly string[]): boolean {
  if (Array.isArray(value)) return value.some((part: unknown) => isCircular(part, schemas, open));
  if (!isRecord(value)) return false;
  if (typeof value.$ref === 'string') {
    const name = value.$ref.slice('#/components/schemas/'.length);
    return open.includes(name) || isCircular(schemas[name], schemas, [...open, name]);
  }
  return ['allOf', 'anyOf', 'oneOf', 'not', 'if', 'then', 'else'].some((keyword) =>
    isCircular(value[keyword], schemas, open),
  );
}
