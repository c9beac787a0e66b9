import Ajv04 from 'ajv-draft-04';
import addFormats from 'ajv-formats';
import fc from 'fast-check';
import { sample } from 'openapi-sampler';
import t from 'tap';
import { isRecord } from '#policy/schema/schema.ts';
import { githubDescription } from '../../support/github-description.ts';
import { mutatedValue } from './mutated-value.ts';
import { findings, validationOf } from './validation-of.ts';
import {
  type Operation,
  operationsOf,
  resolverOf,
  type Values,
  validValues,
  type WholeRequest,
  writeRequest,
  wrongRequests,
} from './whole-request.ts';

const SEED = 20_261;
/** Bodies changed from each sample. */
const CHANGED = 12;
/** Requests of each operation that are made of its schemas. */
const VALUES = 2;

/** Operations of which openapi-sampler makes a request that does not fit, by what it does wrong. */
const INVALID_SAMPLES: { readonly [reason: string]: readonly string[] } = {
  'takes groups, classes and alternatives of a pattern for literal text': [
    'actions/get-custom-image-version-for-org',
    'actions/delete-custom-image-version-from-org',
    'actions/create-or-update-environment-secret',
    'actions/create-or-update-org-secret',
    'actions/create-or-update-repo-secret',
    'agents/create-or-update-org-secret',
    'agents/create-or-update-repo-secret',
    'code-scanning/upload-sarif',
    'codespaces/create-or-update-org-secret',
    'codespaces/create-or-update-repo-secret',
    'codespaces/create-or-update-secret-for-authenticated-user',
    'dependabot/create-or-update-org-secret',
    'dependabot/create-or-update-repo-secret',
    'private-registries/create-org-private-registry',
    'private-registries/update-org-private-registry',
    'users/create-public-ssh-key-for-authenticated-user',
    'users/create-ssh-signing-key-for-authenticated-user',
  ],
  'does not see what oneOf and anyOf say of which properties are there': [
    'campaigns/create-campaign',
    'code-quality/update-setup',
    'code-scanning/create-variant-analysis',
    'code-scanning/update-alert',
    'dependabot/update-alert',
    'issues/set-labels',
    'projects/add-item-for-org',
    'projects/add-item-for-user',
    'repos/create-pages-site',
    'repos/update-information-about-pages-site',
    'secret-scanning/update-alert',
    'secret-scanning/update-org-custom-pattern',
    'secret-scanning/update-repo-custom-pattern',
  ],
  'takes an example of the description that does not fit itself: shortened, quoted twice, or an item in place of the list':
    [
      'dependency-graph/create-repository-snapshot',
      'migrations/update-import',
      'orgs/create-artifact-storage-record',
      'pulls/dismiss-review',
    ],
};

/** What is said of requests alone, with the components that are referred to. */
function ofRequests(description: object): object {
  const resolve = resolverOf(description);
  const { openapi, info, paths } = Object.fromEntries(Object.entries(description));
  const kept = Object.entries(record(paths)).map(([template, item]) => [
    template,
    Object.fromEntries(Object.entries(record(item)).map(([key, value]) => [key, withoutResponses(value)])),
  ]);
  const reduced = { openapi, info, paths: Object.fromEntries(kept), components: {} };
  const components: Record<string, Record<string, unknown>> = {};
  const references = new Set(referencesIn(reduced));
  for (const reference of references) {
    const [kind = '', name = ''] = reference.slice('#/components/'.length).split('/');
    const value = resolve(reference);
    components[kind] = { ...components[kind], [name]: value };
    for (const more of referencesIn(value)) references.add(more);
  }
  return { ...reduced, components };
}

function withoutResponses(operation: unknown): unknown {
  return isRecord(operation) ? { ...operation, responses: { 200: { description: 'left out' } } } : operation;
}

function* referencesIn(value: unknown): Generator<string> {
  if (typeof value !== 'object' || value === null) return;
  if (isRecord(value) && typeof value.$ref === 'string') yield value.$ref;
  for (const member of Object.values(value)) yield* referencesIn(member);
}

function record(value: unknown): { readonly [key: string]: unknown } {
  return isRecord(value) ? value : {};
}

/** Without `nullable` where there is no `type`: it means nothing there (OpenAPI 3.0.3 §4.7.24.2), and Ajv does not take it. */
function asAjvTakesIt(value: unknown): object {
  return JSON.parse(
    JSON.stringify(value, (_, member: unknown) => {
      if (!isRecord(member) || typeof member.nullable !== 'boolean' || member.type !== undefined) return member;
      const { nullable: _nullable, ...rest } = member;
      return rest;
    }),
  );
}

/** What Ajv says of an operation's body by the schema as it stands in the description. */
function ajvOf(description: object): (operation: Operation, body: unknown) => boolean {
  const ajv = new Ajv04.default({ strict: false, validateSchema: false, logger: false });
  addFormats.default(ajv);
  ajv.addSchema(asAjvTakesIt(description), 'https://description.test/api');
  return ({ template, method, body }, value) => {
    const steps = ['paths', template, method.toLowerCase(), 'requestBody', 'content', body?.mediaType ?? '', 'schema'];
    const pointer = steps.map((step) => encodeURIComponent(step.replaceAll('~', '~0').replaceAll('/', '~1'))).join('/');
    const validate = ajv.getSchema(`https://description.test/api#/${pointer}`);
    if (validate === undefined) throw new Error(`no schema at ${pointer}`);
    return validate(value) === true;
  };
}

t.test("requests by GitHub's description", async (t) => {
  const whole: unknown = JSON.parse(await githubDescription());
  const description = ofRequests(record(whole));
  const { validation, problems } = await validationOf(JSON.stringify(description));
  t.same(problems, []);
  const operations = operationsOf(description);
  const judge = ajvOf(description);
  const sampled = (schema: unknown, skipNonRequired: boolean) =>
    sample(
      isRecord(schema) ? schema : {},
      { skipReadOnly: true, skipNonRequired, quiet: true, enablePatterns: true },
      description,
    );
  const samples = operations.flatMap((operation) =>
    [false, true].map((isLeast) => {
      const asked = operation.parameters.filter(({ isRequired }) => isRequired || !isLeast);
      const parameters = Object.fromEntries(asked.map(({ name, schema }) => [name, sampled(schema, isLeast)]));
      return {
        operation,
        values: { parameters, ...(operation.body && { body: sampled(operation.body.schema, isLeast) }) },
      };
    }),
  );
  const findingsOf = ({ method, path, query, headers, body }: WholeRequest) =>
    findings(validation, `${method} ${path}?${query}`, {
      headers: headers.flat(),
      ...(body === undefined ? {} : { body }),
    });
  const judged = (operation: Operation, values: Values) => findingsOf(writeRequest(operation, values));

  t.test('samples of all operations are not refused', async (t) => {
    const wrong = new Set(Object.values(INVALID_SAMPLES).flat());
    const refused = new Set<string>();
    for (const { operation, values } of samples) {
      const [finding] = judged(operation, values);
      if (finding === undefined) continue;
      refused.add(operation.id);
      if (!wrong.has(operation.id))
        t.fail(`${operation.id}: ${finding.code} ${finding.reason} ${JSON.stringify(values)}`);
    }
    t.same([...refused].sort(), [...wrong].sort(), 'no other than known ones');
    t.comment(`${samples.length} samples of ${operations.length} operations`);
  });

  t.test('bodies, sampled and changed, are judged as Ajv judges them by the description itself', async (t) => {
    const seen = { valid: 0, invalid: 0 };
    for (const { operation, values } of samples) {
      if (operation.body?.mediaType !== 'application/json') continue;
      const changed = fc.sample(mutatedValue(values.body), { numRuns: CHANGED, seed: SEED });
      for (const body of [values.body, ...changed]) {
        const found = judged(operation, { ...values, body }).filter(({ code }) => code !== 'invalid_parameter');
        const isValid = judge(operation, body);
        seen[isValid ? 'valid' : 'invalid']++;
        if (isValid !== (found.length === 0))
          t.fail(`${operation.id} ${isValid ? 'valid' : 'invalid'}: ${found[0]?.reason} ${JSON.stringify(body)}`);
      }
    }
    t.ok(seen.valid > 1_000 && seen.invalid > 1_000, `${seen.valid} valid, ${seen.invalid} not`);
  });

  t.test(
    'what is made of the schemas of all operations is not refused, and is with a parameter that is wrong',
    async (t) => {
      const resolve = resolverOf(description);
      const seen = { valid: 0, wrong: 0 };
      for (const operation of operations) {
        for (const values of fc.sample(validValues(operation, resolve), { numRuns: VALUES, seed: SEED })) {
          const [finding] = judged(operation, values);
          // Where allOf, oneOf and the like contradict each other what is made need not fit.
          const isValid = operation.body === undefined || judge(operation, values.body);
          if (isValid) seen.valid++;
          if (isValid && finding !== undefined)
            t.fail(`${operation.id}: ${finding.code} ${finding.reason} ${JSON.stringify(values)}`);
          for (const { code, keyword, request } of wrongRequests(
            operation,
            { parameters: values.parameters },
            resolve,
          )) {
            const found = findingsOf(request);
            seen.wrong++;
            if (!found.some((one) => one.code === code))
              t.fail(`${operation.id}: ${found[0]?.code}, not ${code} for ${keyword}: ${JSON.stringify(request)}`);
          }
        }
      }
      t.ok(
        seen.valid > operations.length && seen.wrong > 5 * operations.length,
        `${seen.valid} valid, ${seen.wrong} wrong`,
      );
    },
  );
});
