import fc from 'fast-check';
import { sample } from 'openapi-sampler';
import t from 'tap';
import type { Finding, RequestValidation } from '#policy/workload-policy.ts';
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
const RUNS = Number(process.env.LATERAL_PROPERTY_RUNS ?? 12);

/** A request, and in what way it is wrong; of a valid one `keyword` and what follows are empty. */
type Asked = Pick<WrongRequest, 'operation' | 'place' | 'pointer' | 'keyword' | 'request'>;

interface KnownDifference {
  readonly of: readonly OtherValidator['name'][];
  /** What it does that is not done here. */
  readonly does: 'allows' | 'refuses';
  readonly where: (asked: Asked) => boolean;
  readonly reason: string;
}

const BOTH = ['openapi-backend', 'express-openapi-validator'] as const;

/** Where another validator judges otherwise, and is not followed. Each must be met. */
const KNOWN_DIFFERENCES: { readonly [name: string]: KnownDifference } = {
  'numbers by JavaScript': {
    of: BOTH,
    does: 'allows',
    where: ({ keyword }) => keyword === 'number',
    reason: 'text becomes a number as JavaScript converts it (0x10, 07); here it must be an integer as JSON writes one',
  },
  'coercion within JSON': {
    of: BOTH,
    does: 'allows',
    where: ({ operation, keyword, request }) =>
      operation === 'written' && keyword === 'type' && /null|true/.test(request.query),
    reason: 'values of a parameter that is JSON are coerced like text: null counts as 0, true as 1',
  },
  'content types': {
    of: ['openapi-backend'],
    does: 'allows',
    where: ({ keyword }) => keyword === 'mediaType',
    reason: 'a body of a type that the operation does not declare is held against the schema of the one it does',
  },
  'label and matrix': {
    of: BOTH,
    does: 'refuses',
    where: ({ operation }) => operation === 'label' || operation === 'matrix',
    reason: 'these styles of path parameters are not read',
  },
  'lists in headers': {
    of: BOTH,
    does: 'refuses',
    where: ({ operation }) => operation === 'headers',
    reason: 'a list in a header field is not taken apart',
  },
  'lists in paths': {
    of: ['openapi-backend'],
    does: 'refuses',
    where: ({ operation }) => operation === 'list',
    reason: 'a list in a path is not taken apart',
  },
  'spread objects': {
    of: ['openapi-backend'],
    does: 'refuses',
    where: ({ operation }) => operation === 'spread',
    reason: 'style form, exploded: the properties of the object are taken for unknown parameters',
  },
  'absent deepObject': {
    of: ['express-openapi-validator'],
    does: 'refuses',
    where: ({ operation, request }) => operation === 'search' && !request.query.includes('where'),
    reason: 'an optional object of style deepObject that is not sent is judged as an empty one',
  },
  'readOnly and required': {
    of: ['openapi-backend'],
    does: 'refuses',
    where: ({ operation, request }) => operation === 'register' && request.body?.includes('"id"') === false,
    reason: 'what is readOnly is required of responses only (OpenAPI 3.0.3 §4.7.24.2)',
  },
  'readOnly and sent': {
    of: ['express-openapi-validator'],
    does: 'refuses',
    where: ({ operation, request }) => operation === 'register' && request.body?.includes('"id"') === true,
    reason: 'what is readOnly SHOULD NOT be sent (OpenAPI 3.0.3 §4.7.24.2): a request that does is no error',
  },
  'typed form fields': {
    of: BOTH,
    does: 'refuses',
    where: ({ operation, request }) => operation === 'subscribe' && /seats|trial/.test(request.body ?? ''),
    reason: 'fields of a form stay text: no number or boolean fits',
  },
};

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

async function subjectOf(version: Version): Promise<Subject> {
  const document = wholeRequestDocument(version);
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
async function compare({ others }: Subject, asked: Asked, isAllowed: boolean): Promise<void> {
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
    const subject = await subjectOf(version);
    const { operations, resolve } = subject;

    t.test('what the schemas of an operation give is not refused', async () => {
      for (const operation of operations) {
        const property = fc.asyncProperty(validValues(operation, resolve), (values) =>
          expectAllowed(subject, operation.id, writeRequest(operation, values)),
        );
        await fc.assert(property, { numRuns: RUNS * 4, seed: SEED });
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

    t.test('a property that is readOnly passes where it is sent all the same', async () => {
      const register = operations.find(({ id }) => id === 'register');
      if (register === undefined) throw new Error('no such operation');
      const body = { id: 1, name: 'device' };
      await expectAllowed(subject, register.id, writeRequest(register, { parameters: {}, body }));
    });
  });
}

t.test('every known difference was met', async (t) => {
  const known = Object.entries(KNOWN_DIFFERENCES).flatMap(([name, { of }]) => of.map((other) => `${name}: ${other}`));
  t.same([...met].sort(), known.sort());
});
