import t from 'tap';
import { compileValidation } from '#policy/validation/compile-validation.ts';
import { compileDocument } from '#policy/validation/openapi/compile-document.ts';
import { compileInSlices } from '#sidecar/policy/compile-in-slices.ts';
import { GeneratedParts, partsOf } from '#sidecar/policy/generated-parts.ts';
import { openApi, policyOf, schemaOf } from '../../policy/validation/validation-of.ts';
import { turnsMeanwhile } from '../../support/turns-meanwhile.ts';

const OPERATIONS = 3_000;

/** With one schema that is evaluated, not compiled. */
const paths = Array.from(
  { length: OPERATIONS },
  (_, index) =>
    `  /p${index}:\n    post: {parameters: [{name: q, in: query, schema: {type: integer}}], requestBody: {content: {application/json: {schema: {${index === 7 ? '$dynamicRef: "#/components/schemas/A"' : `properties: {a${index}: {type: string}}`}}}}}}\n`,
);
const document = `${openApi('3.1.0', paths.join(''))}components: {schemas: {A: {type: string}}}\n`;
const compiled = compileDocument(document);

t.test('a document goes over in small parts, and is whole after the last', async (t) => {
  const { operations, units, problems, errors } = compiled;
  t.ok(units.some((unit) => typeof unit !== 'string'));
  const parts = [...partsOf({ operations, units, problems, errors })];
  for (const part of parts) {
    const characters = part.units.reduce((sum, [, unit]) => sum + (typeof unit === 'string' ? unit.length : 0), 0);
    t.ok(characters < 300_000 && part.operations.length <= 32);
  }
  const taken = new GeneratedParts();
  // twice: a job comes after another
  for (const _ of [1, 2]) {
    for (const part of parts.slice(0, -1)) t.equal(taken.add(structuredClone(part)), undefined);
    const last = parts.at(-1);
    t.ok(last);
    if (last !== undefined) t.same(taken.add(structuredClone(last)), { operations, units, problems, errors });
  }
});

t.test('requests have their turns while thousands of operations are put together', async (t) => {
  const schema = schemaOf('a', document);
  const { result, others } = await turnsMeanwhile(() =>
    compileValidation({
      policies: [policyOf({ schemaRefs: ['a'] })],
      schemas: [schema],
      generate: async () => [compiled],
      take: compileInSlices,
    }),
  );
  t.ok(result.validation);
  t.ok(others >= 4, `${others} turns of others`);
});
