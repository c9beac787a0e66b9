import { randomUUID } from 'node:crypto';
import {
  registerSchema,
  setShouldValidateFormat,
  unregisterSchema,
  validate,
} from '@hyperjump/json-schema/draft-2020-12';
import '@hyperjump/json-schema/formats';
import fc from 'fast-check';
import t from 'tap';
import { mutatedValue } from './mutated-value.ts';
import { SCHEMA_NAMES, schemasByName } from './random-schema.ts';
import { codeOf, validationOf } from './validation-of.ts';
import { valueOfSchema } from './value-of-schema.ts';

setShouldValidateFormat(true);

type Schemas = { readonly [name: string]: unknown };

/** Sets of schemas; for each, values that fit and values changed from them. */
const RUNS = Number(process.env.LATERAL_PROPERTY_RUNS ?? 60);
const VALUES_A_SET = 12;

/** Each schema is the body of an operation of its own: `POST /NAME`. */
function documentOf(schemas: Schemas): string {
  const paths = Object.fromEntries(
    SCHEMA_NAMES.map((name) => [
      `/${name}`,
      {
        post: {
          requestBody: {
            required: true,
            content: { 'application/json': { schema: { $ref: `#/components/schemas/${name}` } } },
          },
        },
      },
    ]),
  );
  return JSON.stringify({ openapi: '3.1.0', info: { title: 'random', version: '1' }, paths, components: { schemas } });
}

/** What an independent implementation of JSON Schema says. */
async function oracleOf(
  schemas: Schemas,
): Promise<{ judge(name: string, value: unknown): Promise<boolean>; end(): void }> {
  const uri = `https://schemas.test/${randomUUID()}`;
  registerSchema({ $schema: 'https://json-schema.org/draft/2020-12/schema', components: { schemas } } as never, uri);
  return {
    async judge(name, value) {
      const judged = await validate(`${uri}#/components/schemas/${name}`, value as never);
      return judged.valid;
    },
    end: () => unregisterSchema(uri),
  };
}

function resolverOf(schemas: Schemas): (reference: string) => unknown {
  return (reference) => schemas[reference.slice('#/components/schemas/'.length)];
}

t.test('a body is judged as by an independent implementation, fitting or changed', async (t) => {
  const seen = { valid: 0, invalid: 0, unavailable: 0 };
  await fc.assert(
    fc.asyncProperty(
      schemasByName,
      fc.constantFrom(...SCHEMA_NAMES),
      fc.infiniteStream(fc.nat()),
      async (schemas, name, seeds) => {
        const { validation } = await validationOf(documentOf(schemas));
        const oracle = await oracleOf(schemas);
        try {
          const made = fc.sample(valueOfSchema(schemas[name], resolverOf(schemas)), {
            numRuns: VALUES_A_SET,
            seed: seeds.next().value,
          });
          for (const value of [
            ...made,
            ...made.flatMap((fit) => fc.sample(mutatedValue(fit), { numRuns: 2, seed: seeds.next().value })),
          ]) {
            const body = JSON.stringify(value);
            const code = codeOf(validation, `POST /${name}`, { body });
            const isValid = await oracle.judge(name, JSON.parse(body));
            if (code === 'schema_unavailable') seen.unavailable++;
            else if (isValid !== (code === 'allowed'))
              throw new Error(`${body}: ${code}, but ${isValid ? 'valid' : 'invalid'}`);
            else seen[isValid ? 'valid' : 'invalid']++;
          }
        } finally {
          oracle.end();
        }
      },
    ),
    { numRuns: RUNS },
  );
  t.comment(`${seen.valid} valid, ${seen.invalid} invalid, ${seen.unavailable} not judged`);
  const all = seen.valid + seen.invalid + seen.unavailable;
  t.ok(seen.valid > all / 10 && seen.invalid > all / 10, 'both kinds are seen');
});
