import fc from 'fast-check';
import { sample } from 'openapi-sampler';
import t, { type Test } from 'tap';
import type { Finding, RequestValidation } from '#policy/workload-policy.ts';
import { KEYWORD_CASES, keywordDocument } from './keyword-cases.ts';
import { type Asked, KNOWN_DIFFERENCES } from './known-differences.ts';
import { mutatedValue } from './mutated-value.ts';
import { expressOpenapiValidator, type OtherValidator, openapiBackend } from './other-validators.ts';
import { findings, validationOf } from './validation-of.ts';
import type { Resolve } from './value-of-schema.ts';
import {
  asRequestsHaveIt,
  type Operation,
  operationsOf,
  resolverOf,
  validValues,
  type WholeRequest,
  type WrongRequest,
  writeRequest,
  wrongRequests,
} from './whole-request.ts';
import { VERSIONS, type Version, wholeRequestDocument } from './whole-request-documents.ts';

const SEED = 20_261;
/** Valid requests of each operation; each is then made wrong in all ways. */
const RUNS = Number(process.env.LATERAL_PROPERTY_RUNS ?? 8);

/** Samples of openapi-sampler that do not fit, by operation: those of all properties, or of the required ones alone. */
const INVALID_SAMPLES: { readonly [operation: string]: { readonly of: 'all' | 'required'; readonly reason: string } } =
  {
    changeOrder: { of: 'required', reason: 'leaves out what one branch of allOf requires and another declares' },
    plant: {
      of: 'all',
      reason: 'ends a schema that refers to itself with an object of no properties, required ones neither',
    },
    writeProfile: { of: 'all', reason: 'knows no format byte: its "string" has six characters' },
  };

/** A document under test, with all who judge by it. */
interface Subject {
  readonly version: Version;
  readonly validation: RequestValidation;
  readonly operations: readonly Operation[];
  readonly resolve: Resolve;
  readonly others: readonly OtherValidator[];
}

async function subjectOf(t: Test, version: Version, document: object): Promise<Subject> {
  const asked = asRequestsHaveIt(document);
  const { validation, problems } = await validationOf(JSON.stringify(document));
  t.same(problems, []);
  const others = [await openapiBackend(document, version), expressOpenapiValidator(document)];
  return { version, validation, operations: operationsOf(asked), resolve: resolverOf(asked), others };
}

function judge(validation: RequestValidation, { method, path, query, headers, body }: WholeRequest) {
  const sent = { headers: headers.flat(), ...(body === undefined ? {} : { body }) };
  return findings(validation, `${method} ${path}?${query}`, sent);
}

const met = new Set<string>();

/** Throws where another validator judges otherwise, and it is not known why. */
async function compare({ others, version }: Subject, wrong: Omit<Asked, 'version'>, isAllowed: boolean): Promise<void> {
  const asked = { ...wrong, version };
  for (const other of others) {
    const does = (await other.allows(asked.request)) ? 'allows' : 'refuses';
    if (does === (isAllowed ? 'allows' : 'refuses')) continue;
    const known = Object.entries(KNOWN_DIFFERENCES).find(
      ([, { of, does: known, where }]) => of.includes(other.name) && known === does && where(asked),
    );
    if (known === undefined) throw new Error(`${other.name} ${does} ${JSON.stringify(asked)}`);
    met.add(`${known[0]}: ${other.name}`);
  }
}

async function expectAllowed(subject: Subject, operation: string, request: WholeRequest): Promise<void> {
  const [finding] = judge(subject.validation, request);
  if (finding !== undefined) throw new Error(`${finding.code} ${finding.reason}: ${JSON.stringify(request)}`);
  await compare(subject, { operation, place: '', pointer: '', keyword: '', request }, true);
}

function isToldBy(wrong: WrongRequest, { code, facts }: Finding): boolean {
  if (code !== wrong.code) return false;
  if (wrong.told === undefined) return facts.details === undefined;
  return facts.details?.some(({ keyword, pointer }) => keyword === wrong.told && pointer === wrong.pointer) === true;
}

async function expectRefused(subject: Subject, wrong: WrongRequest): Promise<void> {
  const found = judge(subject.validation, wrong.request);
  if (!found.some((finding) => isToldBy(wrong, finding)))
    throw new Error(`${JSON.stringify(found)}, but wanted ${JSON.stringify(wrong)}`);
  const { operation, place, pointer, keyword, request } = wrong;
  await compare(subject, { operation, place, pointer, keyword, request }, false);
}

const KEYWORDS = [
  ...[
    'type',
    'enum',
    'required',
    'additionalProperties',
    'maxProperties',
    'pattern',
    'format',
    'minLength',
    'maxLength',
  ],
  ...['minimum', 'maximum', 'multipleOf', 'minItems', 'maxItems', 'uniqueItems', 'oneOf', 'anyOf', 'number'],
  ...['mediaType', 'malformed', 'missing', 'unknown', 'repeated', 'path', 'method'],
];
const OF_VERSION = { '3.0.3': [], '3.1.0': ['const', 'exclusiveMinimum', 'exclusiveMaximum'] };

for (const version of VERSIONS) {
  t.test(`OpenAPI ${version}`, async (t) => {
    const subject = await subjectOf(t, version, wholeRequestDocument(version));
    const { operations, resolve } = subject;

    t.test('what the schemas of an operation give is not refused', async (t) => {
      for (const operation of operations) {
        const property = fc.asyncProperty(validValues(operation, resolve), (values) =>
          expectAllowed(subject, operation.id, writeRequest(operation, values)),
        );
        await t.resolves(fc.assert(property, { numRuns: RUNS * 4, seed: SEED }), operation.id);
      }
    });

    t.test('a request that is wrong in one way is refused, with its code, place and keyword', async (t) => {
      const broken = new Map<string, number>();
      for (const operation of operations) {
        const property = fc.asyncProperty(validValues(operation, resolve), async (values) => {
          for (const wrong of wrongRequests(operation, values, resolve)) {
            await expectRefused(subject, wrong);
            broken.set(wrong.keyword, (broken.get(wrong.keyword) ?? 0) + 1);
          }
        });
        await fc.assert(property, { numRuns: RUNS, seed: SEED });
      }
      t.comment(JSON.stringify(Object.fromEntries(broken)));
      t.same([...broken.keys()].sort(), [...KEYWORDS, ...OF_VERSION[version]].sort(), 'every keyword was broken');
    });

    t.test('a body that is changed anywhere is judged as the others judge it', async (t) => {
      const seen = { allowed: 0, refused: 0 };
      for (const operation of operations.filter(({ body }) => body?.mediaType === 'application/json')) {
        const changed = validValues(operation, resolve).chain((values) =>
          mutatedValue(values.body ?? {}).map((body) => writeRequest(operation, { ...values, body })),
        );
        const property = fc.asyncProperty(changed, async (request) => {
          const isAllowed = judge(subject.validation, request).length === 0;
          seen[isAllowed ? 'allowed' : 'refused']++;
          await compare(
            subject,
            { operation: operation.id, place: 'body', pointer: '', keyword: '', request },
            isAllowed,
          );
        });
        await fc.assert(property, { numRuns: RUNS * 4, seed: SEED });
      }
      t.ok(seen.allowed > 20 && seen.refused > 20, `${seen.allowed} allowed, ${seen.refused} refused`);
    });

    t.test('keywords one by one: what fits is not refused, what breaks the keyword is refused for it', async (t) => {
      const ofKeywords = await subjectOf(t, version, keywordDocument(version));
      for (const [index, { keyword, fits, breaks }] of KEYWORD_CASES.entries()) {
        const operation = ofKeywords.operations.find(({ id }) => id === `k${index}`);
        if (operation === undefined) continue;
        const write = (body: unknown) => writeRequest(operation, { parameters: {}, body });
        await expectAllowed(ofKeywords, operation.id, write(fits));
        const request = write(breaks);
        const [finding] = judge(ofKeywords.validation, request);
        t.equal(finding?.code, 'invalid_body');
        const told = finding?.facts.details?.map((detail) => detail.keyword) ?? [];
        t.ok(told.includes(keyword), `${keyword} ${request.body}: ${told.join(', ')}`);
        await compare(ofKeywords, { operation: operation.id, place: 'body', pointer: '', keyword, request }, false);
      }
    });

    t.test('the samples that openapi-sampler makes of bodies are not refused', async (t) => {
      const document = wholeRequestDocument(version);
      for (const operation of operations.filter(({ body }) => body !== undefined)) {
        const [values] = fc.sample(validValues(operation, resolve), { numRuns: 1, seed: SEED });
        for (const which of ['all', 'required'] as const) {
          const options = {
            skipReadOnly: true,
            skipNonRequired: which === 'required',
            enablePatterns: true,
            quiet: true,
          };
          const body = sample(operation.body?.schema ?? {}, options, document);
          const request = writeRequest(operation, { parameters: {}, ...values, body });
          if (INVALID_SAMPLES[operation.id]?.of !== which) {
            await expectAllowed(subject, operation.id, request);
            continue;
          }
          t.equal(judge(subject.validation, request)[0]?.code, 'invalid_body');
          for (const other of subject.others) t.notOk(await other.allows(request), `${other.name} agrees`);
        }
      }
    });

    t.test('a property that is readOnly passes where it is sent all the same', async (t) => {
      const register = operations.find(({ id }) => id === 'register');
      if (register === undefined) throw new Error('no such operation');
      const body = { id: 1, name: 'device' };
      await t.resolves(expectAllowed(subject, register.id, writeRequest(register, { parameters: {}, body })));
    });
  });
}

t.test('every known difference was met', async (t) => {
  const known = Object.entries(KNOWN_DIFFERENCES).flatMap(([name, { of }]) => of.map((other) => `${name}: ${other}`));
  t.same([...met].sort(), known.sort());
});
