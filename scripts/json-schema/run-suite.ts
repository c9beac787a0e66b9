import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { ApiContent } from '#policy/validation/api-model.ts';
import { DocumentValidators } from '#policy/validation/instantiate-validators.ts';
import { judgeBody } from '#policy/validation/judge/judge-body.ts';
import { compileDocument } from '#policy/validation/openapi/compile-document.ts';
import { type OperationSettings, runtimeContent } from '#policy/validation/runtime-operation.ts';
import { renewWork } from '#policy/validation/schema/work-budget.ts';

/** The official JSON-Schema-Test-Suite, beside the project. */
const SUITE = fileURLToPath(new URL('../../../shared/data/json-schema-test-suite/', import.meta.url));

export const hasSuite = existsSync(SUITE);

export type Draft = 'draft2020-12' | 'draft4';
/** `refused`: the schema was, and with it every value; `wrong`: the other verdict came. */
export type Outcome = 'right' | 'wrong' | 'refused';

export interface SuiteResult {
  /** `ref.json`, `optional/bignum.json`. */
  readonly file: string;
  /** Of the schema and of the value. */
  readonly title: string;
  readonly outcome: Outcome;
  /** Why a schema was refused, or what was said of a value that is valid. */
  readonly reason: string;
}

interface SuiteGroup {
  readonly description: string;
  readonly schema: unknown;
  readonly tests: readonly { readonly description: string; readonly data: unknown; readonly valid: boolean }[];
}

const DIALECT: { readonly [D in Draft]: string } = {
  'draft2020-12': 'https://json-schema.org/draft/2020-12/schema',
  draft4: 'http://json-schema.org/draft-04/schema#',
};
const ID: { readonly [D in Draft]: string } = { 'draft2020-12': '$id', draft4: 'id' };

const SETTINGS: OperationSettings = {
  isEnforced: true,
  body: 'Strict',
  unknownParameters: 'Deny',
  unknownProperties: 'Allow',
  unenforceable: 'Deny',
  maxBodyBytes: 1024 * 1024,
  maxFileBytes: 0,
  json: { maxDepth: 64, denyDuplicateKeys: true, denyInexactIntegers: false },
  response: { body: 'Off', headers: 'Off', undeclaredStatus: 'Off' },
};

/**
 * Judges every value of the suite as a sidecar judges the body of a request: each schema is that of an operation, in an OpenAPI
 * 3.1 document (2020-12), or in one of 3.0 whose schemas say that they are of draft-04.
 */
export async function runSuite(draft: Draft): Promise<readonly SuiteResult[]> {
  const remotes = remotesOf(draft);
  const results: SuiteResult[] = [];
  for (const file of filesOf(draft)) {
    const groups: readonly SuiteGroup[] = JSON.parse(readFileSync(`${SUITE}${draft}/${file}`, 'utf8'));
    for (const group of groups) results.push(...(await judgeGroup(draft, file, group, remotes)));
  }
  return results;
}

async function judgeGroup(
  draft: Draft,
  file: string,
  { description, schema, tests }: SuiteGroup,
  remotes: object,
): Promise<readonly SuiteResult[]> {
  // What these expect of `format` is what schemas mean that do not say that they are of the plain dialect.
  const asked = file.startsWith('optional/format/') ? withoutDialect(schema) : schema;
  const { operations, units, errors } = compileDocument(documentOf(draft, asked, remotes));
  const [operation] = operations;
  const content = operation?.body?.contents[0];
  const refused = errors[0] ?? operation?.unavailable ?? content?.unavailable;
  const instances = new DocumentValidators(units);
  return tests.map((test) => {
    const title = `${description}: ${test.description}`;
    if (refused !== undefined || content === undefined)
      return { file, title, outcome: 'refused', reason: refused ?? '' };
    const fault = faultOf(JSON.stringify(test.data), content, instances);
    return { file, title, outcome: (fault === undefined) === test.valid ? 'right' : 'wrong', reason: fault ?? '' };
  });
}

function faultOf(body: string, content: ApiContent, units: DocumentValidators): string | undefined {
  renewWork();
  const fault = judgeBody(Buffer.from(body), runtimeContent(content, units), SETTINGS);
  return fault?.details.map(({ pointer, message }) => `${pointer} ${message}`).join();
}

function documentOf(draft: Draft, schema: unknown, remotes: object): string {
  const embedded = embed(draft, 'https://suite.test/schema', schema);
  const requestBody = { content: { 'application/json': { schema: embedded } } };
  return JSON.stringify({
    openapi: draft === 'draft4' ? '3.0.3' : '3.1.0',
    info: { title: 'suite', version: '1' },
    paths: { '/judge': { post: { requestBody } } },
    components: { schemas: remotes },
  });
}

/** A schema that stood alone, as it stands in another document: with the URI under which it is known. */
function embed(draft: Draft, uri: string, schema: unknown): unknown {
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) return schema;
  const own = Object.entries(schema);
  const known = new Set(own.map(([name]) => name));
  const added: [string, unknown][] = [];
  if (!known.has(ID[draft])) added.push([ID[draft], uri]);
  if (draft === 'draft4' && !known.has('$schema')) added.push(['$schema', DIALECT[draft]]);
  // In draft-04 nothing stands beside a $ref.
  if (draft === 'draft4' && known.has('$ref')) return Object.fromEntries([...added, ['allOf', [schema]]]);
  return Object.fromEntries([...added, ...own]);
}

function withoutDialect(schema: unknown): unknown {
  if (typeof schema !== 'object' || schema === null) return schema;
  return Object.fromEntries(Object.entries(schema).filter(([name]) => name !== '$schema'));
}

function filesOf(draft: Draft): readonly string[] {
  const files = readdirSync(`${SUITE}${draft}`, { recursive: true, encoding: 'utf8' });
  return files.filter((file) => file.endsWith('.json')).sort();
}

/** What the suite expects at http://localhost:1234/. */
function remotesOf(draft: Draft): object {
  const entries: [string, unknown][] = [];
  for (const file of readdirSync(`${SUITE}remotes`, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.json') || (file.startsWith('draft') && !file.startsWith(`${draft}/`))) continue;
    if (file.startsWith('v1/')) continue;
    if (draft === 'draft2020-12' && !file.startsWith('draft2020-12/')) continue;
    const uri = `http://localhost:1234/${file}`;
    const schema: unknown = JSON.parse(readFileSync(`${SUITE}remotes/${file}`, 'utf8'));
    entries.push([`remote-${entries.length}`, embed(draft, uri, schema)]);
    const own = typeof schema === 'object' && schema !== null && '$id' in schema ? schema.$id : undefined;
    if (typeof own === 'string' && own !== uri) entries.push([`remote-${entries.length}`, { $id: uri, $ref: own }]);
  }
  return Object.fromEntries(entries);
}
