import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatProblem } from '#policy/problem.ts';
import { documentContext } from '#policy/schema/document-context.ts';
import {
  anything,
  choice,
  type Infer,
  integer,
  isRecord,
  list,
  object,
  optional,
  required,
  string,
} from '#policy/schema/schema.ts';
import { readYaml } from '#policy/yaml/read-yaml.ts';

const FOLDER = join(import.meta.dirname, '../cases');
export const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };

/** One file of test/cases: resources, and what must be decided about requests under them. */
const caseSchema = object({
  description: required(string()),
  resources: required(string({ maxLength: 65_536 })),
  to: required(anything('Target of the requests that do not name their own.')),
  requests: required(
    list(
      object({
        title: required(string()),
        request: required(anything('As a line of `lateral authz --batch`.')),
        wanted: required(
          object({
            decision: required(choice(['allow', 'deny', 'custom'])),
            code: optional(string()),
            policy: optional(string()),
            rule: optional(integer({ minimum: 0, maximum: 1_000 })),
            reason: optional(string()),
          }),
        ),
      }),
      { minItems: 1 },
    ),
  ),
});
export type Case = Infer<typeof caseSchema>;
export type Wanted = Case['requests'][number]['wanted'];

/** Names of the files, in their order. */
export function caseNames(): readonly string[] {
  return readdirSync(FOLDER)
    .filter((name) => name.endsWith('.yaml'))
    .sort();
}

/** `nulls`: of each request the fields of `wanted` that are null. Throws where the file is no case. */
export function readCase(name: string): { given: Case; nulls: readonly (readonly string[])[] } {
  const { documents, problems } = readYaml({ path: name, text: readFileSync(join(FOLDER, name), 'utf8') });
  const [document] = documents;
  if (document === undefined) throw new Error(problems.map(formatProblem).join('\n'));
  const found = [...problems];
  const given = caseSchema.read(document.value, [], documentContext(name, document, found));
  if (given === undefined || found.length > 0) throw new Error(found.map(formatProblem).join('\n'));
  return { given, nulls: nullsOf(document.value) };
}

/** The fields of each `wanted` that are null: "there is none", which reading takes for "not said". */
function nullsOf(value: unknown): readonly (readonly string[])[] {
  const requests = isRecord(value) && Array.isArray(value.requests) ? value.requests : [];
  return requests.map((request: unknown) => {
    const wanted = isRecord(request) && isRecord(request.wanted) ? request.wanted : {};
    return Object.keys(wanted).filter((key) => wanted[key] === null);
  });
}
