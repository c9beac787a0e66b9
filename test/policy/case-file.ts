import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { OfflineRequest } from '#cli/offline/offline-request.ts';
import { requestClaims } from '#policy/authentication/request-claims.ts';
import { remoteIp } from '#policy/http/remote-ip.ts';
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
import type { AuthorizationRequest, Mesh } from '#policy/workload-policy.ts';
import { readYaml } from '#policy/yaml/read-yaml.ts';

const FOLDER = join(import.meta.dirname, '../cases');
/** Of cases that name no trust domain. */
export const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };

/** One file of test/cases: resources, and what must be decided about requests under them. */
const caseSchema = object({
  description: required(string()),
  resources: required(string({ maxLength: 65_536 })),
  trustDomain: optional(string({ description: 'Of the mesh; absent: cluster.local.' })),
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
type Case = Infer<typeof caseSchema>;
export type Wanted = Case['requests'][number]['wanted'];

/** Names of the files, in order. */
export const CASE_FILES = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.yaml'))
  .sort();

/** The mesh that a case is about. */
export function meshOf({ trustDomain = MESH.trustDomain }: Case): Mesh {
  return { ...MESH, trustDomain };
}

/** `nulls`: the fields of each `wanted` that are null. */
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

/** As a sidecar would put it to its engine; the path is as it was sent. */
export function authorizationRequest(request: OfflineRequest, trustedProxies: number): AuthorizationRequest {
  const headers = Object.entries(request.headers).flatMap(([name, values]) => values.flatMap((value) => [name, value]));
  const [, principal = ''] = /^spiffe:\/\/(.*)$/.exec(request.from ?? '') ?? [];
  const [trustDomain = '', , namespace = '', , serviceAccount = ''] = principal.split('/');
  const isHttp = request.protocol !== 'tcp';
  const host = Object.entries(request.headers).find(([name]) => /^(host|:authority)$/i.test(name))?.[1][0];
  return {
    source:
      principal === '' ? null : { uri: `spiffe://${principal}`, principal, trustDomain, namespace, serviceAccount },
    method: isHttp ? (request.method ?? (request.protocol === 'grpc' ? 'POST' : 'GET')) : undefined,
    path: isHttp ? (request.path ?? '/').replace(/\?.*$/, '') : undefined,
    query: isHttp ? /\?(.*)$/.exec(request.path ?? '')?.[1] : undefined,
    host: isHttp ? host : undefined,
    headers,
    port: request.to.port,
    sourceIp: request.sourceIp,
    remoteIp:
      request.remoteIp ??
      (request.sourceIp === undefined ? undefined : remoteIp(headers, request.sourceIp, trustedProxies)),
    destinationIp: request.destinationIp,
    sni: request.sni,
    claims: request.claims === undefined ? undefined : requestClaims(request.claims),
  };
}
