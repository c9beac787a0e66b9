import { createOfflineAuthorizer, type OfflineDecision } from '#cli/offline/authorize-offline.ts';
import { checkOfflineRequest, type OfflineRequest } from '#cli/offline/offline-request.ts';
import { loadResources } from '#policy/load-resources.ts';
import { normalizePath } from '#policy/path/normalize-path.ts';
import type { AnyResource } from '#policy/resource/read-resource.ts';
import { isRecord } from '#policy/schema/schema.ts';
import type { AuthorizationRequest, Mesh } from '#policy/workload-policy.ts';
import type { Policy } from './case-clauses.ts';
import { authorizationRequest, CASE_FILES, meshOf, readCase, type Wanted } from './case-file.ts';

/** One request of a case, read. */
interface CaseRequest {
  readonly title: string;
  readonly request: OfflineRequest;
  readonly plain: AuthorizationRequest;
  readonly wanted: Wanted;
}

export interface LoadedCase {
  readonly name: string;
  readonly mesh: Mesh;
  readonly resources: readonly AnyResource[];
  readonly policies: readonly Policy[];
  readonly requests: readonly CaseRequest[];
}

function loadCase(name: string): LoadedCase {
  const { given } = readCase(name);
  const mesh = meshOf(given);
  const { sourced } = loadResources([{ path: name, text: given.resources }], () => undefined, mesh);
  const resources = sourced.map(({ any }) => any);
  const { policies, defaults } = createOfflineAuthorizer(resources, mesh);
  const requests = given.requests.map(({ title, request, wanted }) => {
    const reading = checkOfflineRequest({ to: given.to, ...(isRecord(request) ? request : {}) });
    if (reading.kind === 'broken') throw new Error(`${name}: ${title}: ${reading.reason}`);
    const asked = authorizationRequest(reading.request, defaults.trustedProxies);
    const path = normalizePath(asked.path ?? '/', defaults.pathNormalization);
    const plain = { ...asked, path: asked.path === undefined || path.kind === 'ambiguous' ? asked.path : path.path };
    return { title, request: reading.request, plain, wanted };
  });
  return { name, mesh, resources, policies, requests };
}

/** What a case sees of each of its requests, in order, if `policy` were `other`; without `other` there is no such policy. */
export function outcomes(
  { mesh, resources, requests }: LoadedCase,
  policy?: Policy,
  other?: Policy,
): readonly string[] {
  const changed = resources.flatMap((any): readonly AnyResource[] => {
    if (any.type !== 'AuthorizationPolicy' || any.resource !== policy) return [any];
    return other === undefined ? [] : [{ type: any.type, resource: other }];
  });
  const authorizer = createOfflineAuthorizer(changed, mesh);
  return requests.map(({ request, wanted }) => seen(authorizer.decide(request), wanted));
}

/** What a case tells apart by what it wants; numbers of rules and nearest misses are no part of it. */
function seen({ decision, code, policy, reason }: OfflineDecision, wanted: Wanted): string {
  const notes = /; rule \d+ of (AUDIT policy \S+) matched|on trial: (would be \w+)|(asks \S+) by/g;
  return JSON.stringify([
    decision,
    wanted.code === undefined ? '' : code,
    decision === 'custom' && wanted.policy !== undefined ? policy : '',
    wanted.reason === undefined ? '' : [...reason.matchAll(notes)].map((found) => found.slice(1).join('')),
  ]);
}

/** True where the case would see another outcome of any request. */
export function isDifferent(usual: readonly string[], other: readonly string[]): boolean {
  return usual.some((outcome, at) => outcome !== other[at]);
}

export const CASES = CASE_FILES.map(loadCase);
