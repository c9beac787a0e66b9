import { LRUCache } from 'lru-cache';
import { requestClaims } from '#policy/authentication/request-claims.ts';
import { compileAuthorizer } from '#policy/authorization/compile-authorizer.ts';
import { compileExternal } from '#policy/authorization/compile-external.ts';
import type { ExternalMatch, ExternalRules } from '#policy/authorization/external-rules.ts';
import { compileProviders } from '#policy/authorization/provider.ts';
import { compileConditions } from '#policy/condition/compile-condition.ts';
import { ALLOWED } from '#policy/error/codes.ts';
import type { FlatHeaders } from '#policy/http/flat-headers.ts';
import { remoteIp } from '#policy/http/remote-ip.ts';
import { parseSpiffeId, type SpiffeId } from '#policy/identity/spiffe-id.ts';
import { servicesBehind, targetService } from '#policy/mesh/services-behind.ts';
import { normalizePath } from '#policy/path/normalize-path.ts';
import { wireText } from '#policy/path/wire-text.ts';
import { effectiveDefaults } from '#policy/resource/kinds/mesh-defaults.ts';
import type { AnyResource } from '#policy/resource/read-resource.ts';
import type { AuthorizationDecision, Authorizer, Mesh, Observation } from '#policy/workload-policy.ts';
import type { OfflineRequest } from './offline-request.ts';

/** A decision as it is printed. */
export interface OfflineDecision {
  /** `custom`: a provider decides, which cannot be asked here. */
  readonly decision: 'allow' | 'deny' | 'custom';
  readonly code: string;
  readonly policy: string | null;
  readonly rule: number | null;
  readonly reason: string;
}

/** Code of what only a provider can decide; no sidecar says it. */
const ASKS_PROVIDER = 'asks_provider';

interface Deciding {
  readonly authorizer: Authorizer;
  readonly external: ExternalRules | undefined;
}

/** Authorizers kept, one a distinct `to`. */
const MAX_AUTHORIZERS = 1_000;

/** What decides requests to any workload by the resources of a folder. */
export type OfflineAuthorizer = ReturnType<typeof createOfflineAuthorizer>;

/** Decides requests to any workload by the resources of a folder, with the sidecar's own engine. `aliases`: of the mesh's trust domain. */
export function createOfflineAuthorizer(
  resources: readonly AnyResource[],
  mesh: Mesh,
  aliases: readonly string[] = [],
) {
  const own = { names: [mesh.trustDomain, ...aliases] };
  const policies = resources.flatMap((any) => (any.type === 'AuthorizationPolicy' ? [any.resource] : []));
  const defaultsSpec = resources.find((any) => any.type === 'MeshDefaults')?.resource.spec;
  const defaults = effectiveDefaults(defaultsSpec);
  const providers = compileProviders(defaultsSpec?.extensionProviders);
  const conditions = compileConditions(
    policies.flatMap(({ spec }) => (spec.rules ?? []).flatMap(({ condition }) => condition ?? [])),
  );
  const labels = endpointLabels(resources);
  const services = resources.flatMap((any) => (any.type === 'MeshService' ? [targetService(any.resource)] : []));
  const authorizers = new LRUCache<string, Deciding>({ max: MAX_AUTHORIZERS });

  function decidingOf(to: Omit<OfflineRequest['to'], 'port'>): Deciding {
    const chosen = { ...to, labels: to.labels ?? labels.get(`${to.namespace}/${to.name}`) ?? {} };
    // `to` is called as the service is, where nothing else is said of it.
    const workload = { ...chosen, services: new Set([to.name, ...servicesBehind(chosen, services)]) };
    const key = JSON.stringify([to.namespace, to.name, to.serviceAccount, workload.labels]);
    const known = authorizers.get(key);
    if (known !== undefined) return known;
    const deciding = {
      authorizer: compileAuthorizer(policies, workload, mesh, defaults, own, conditions),
      external: compileExternal(policies, workload, mesh, providers, own, conditions, defaults.pathNormalization),
    };
    authorizers.set(key, deciding);
    return deciding;
  }

  function decide(request: OfflineRequest): OfflineDecision {
    const source = sourceOf(request.from);
    if (typeof source === 'string') return refused('invalid_spiffe_id', source);
    const isHttp = request.protocol !== 'tcp';
    const target = request.path ?? '/';
    const query = target.indexOf('?');
    const path = isHttp
      ? normalizePath(wireText(query === -1 ? target : target.slice(0, query)), defaults.pathNormalization)
      : undefined;
    if (path?.kind === 'ambiguous') return refused('ambiguous_path', path.reason);
    const headers = flatHeaders(request.headers);
    const { authorizer, external } = decidingOf(request.to);
    const asked = {
      source,
      method: isHttp ? (request.method ?? (request.protocol === 'grpc' ? 'POST' : 'GET')) : undefined,
      path: path?.path,
      query: query === -1 ? undefined : target.slice(query + 1),
      host: isHttp ? hostOf(request.headers) : undefined,
      headers: isHttp ? headers : [],
      port: request.to.port,
      sourceIp: request.sourceIp,
      remoteIp: remoteIpOf(request, headers, defaults.trustedProxies),
      destinationIp: request.destinationIp,
      sni: request.sni,
      claims: request.claims === undefined ? undefined : requestClaims(request.claims),
    };
    const matches = external?.matches(asked) ?? [];
    const refusal = matches.find((match) => match.kind === 'refuse');
    if (refusal !== undefined && defaults.mode === 'Enforce') {
      const { code, policy, rule, reason } = refusal;
      return { decision: 'deny', code, policy, rule, reason };
    }
    const decided = authorizer.decide(asked);
    const decision = authorizer.explain(decided, asked);
    const observed = authorizer.observe?.(decided, asked);
    const trial = observed?.trial === undefined ? undefined : authorizer.explain(observed.trial, asked);
    const noted = notes(observed?.audited, trial);
    const asking = matches.flatMap((match) => (match.kind === 'ask' ? [match] : []));
    if (asking.length > 0 && defaults.mode === 'Enforce') return leftToProvider(asking, decision, noted);
    const facts = { policy: decision.policy ?? null, rule: decision.rule ?? null };
    if (decision.kind === 'allow')
      return { decision: 'allow', code: ALLOWED, ...facts, reason: decision.reason + noted };
    if (defaults.mode === 'Enforce')
      return { decision: 'deny', code: decision.code, ...facts, reason: decision.reason + noted };
    return {
      decision: 'allow',
      code: decision.code,
      ...facts,
      reason: `audit mode: would be refused: ${decision.reason}${noted}`,
    };
  }

  return { decide, decidingOf, defaults, policies, conditions };
}

/** What the rest would be is told for the request as it is: a provider may change it. */
function leftToProvider(
  asking: readonly Extract<ExternalMatch, { kind: 'ask' }>[],
  { kind, reason }: AuthorizationDecision,
  noted: string,
): OfflineDecision {
  const [first] = asking;
  const asked = asking.map(
    ({ provider, policy, rule }) => `${provider.name} by rule ${rule} of CUSTOM policy ${policy}`,
  );
  const then = `asks ${asked.join(' and ')}; if allowed, then ${kind}: ${reason}${noted}`;
  return {
    decision: 'custom',
    code: ASKS_PROVIDER,
    policy: first?.policy ?? null,
    rule: first?.rule ?? null,
    reason: then,
  };
}

/** A denial that no policy made. */
export function refused(code: string, reason: string): OfflineDecision {
  return { decision: 'deny', code, policy: null, rule: null, reason };
}

function sourceOf(from: string | undefined): SpiffeId | null | string {
  if (from === undefined) return null;
  const parsed = parseSpiffeId(from);
  return parsed.kind === 'valid' ? parsed.id : parsed.reason;
}

/** What policies that enforce nothing say, behind the reason of the decision. */
function notes(audited: Observation['audited'], trial: Observation['trial']): string {
  const notes = audited === undefined ? '' : `; rule ${audited.index} of AUDIT policy ${audited.policy} matched`;
  if (trial === undefined) return notes;
  return `${notes}; on trial: would be ${trial.kind === 'deny' ? 'refused' : 'allowed'}: ${trial.reason}`;
}

/** As it is given; else as the sidecar finds it. */
function remoteIpOf(request: OfflineRequest, headers: FlatHeaders, trustedProxies: number): string | undefined {
  const { remoteIp: given, sourceIp, protocol } = request;
  if (given !== undefined || sourceIp === undefined || protocol === 'tcp') return given ?? sourceIp;
  return remoteIp(headers, sourceIp, trustedProxies);
}

function flatHeaders(headers: OfflineRequest['headers']): FlatHeaders {
  return Object.entries(headers).flatMap(([name, values]) => values.flatMap((value) => [name, value]));
}

/** Undefined: the request names none, which no rule of `hosts` matches. */
function hostOf(headers: OfflineRequest['headers']): string | undefined {
  for (const [name, values] of Object.entries(headers)) {
    const lowerName = name.toLowerCase();
    if (lowerName === 'host' || lowerName === ':authority') return values[0] ?? '';
  }
  return undefined;
}

/** Labels of the first endpoint of each MeshService, by NAMESPACE/NAME. */
function endpointLabels(resources: readonly AnyResource[]) {
  return new Map(
    resources.flatMap((any) => {
      if (any.type !== 'MeshService') return [];
      const { namespace, name, spec } = any.resource;
      const [first] = spec.endpoints;
      return first === undefined ? [] : [[`${namespace}/${name}`, first.labels] as const];
    }),
  );
}
