import { createHash } from 'node:crypto';
import type { Resource } from '../resource/kind.ts';
import { attaches } from '../resource/kinds/attachment.ts';
import { DEFAULT_JWKS_TIMEOUT_MS, discoveryUrl, type JwtRule } from '../resource/kinds/jwt-rule.ts';
import type { RequestAuthenticationSpec } from '../resource/kinds/request-authentication.ts';
import type { BoundWorkload, Mesh } from '../workload-policy.ts';
import { sanitizedAudience } from './judge-claims.ts';
import { TokenJudge, type TokenVerifier, type WatchedPlace } from './judge-tokens.ts';
import { KeySet, readKeySet } from './key-set.ts';
import { DEFAULT_PLACE, placeKey, type TokenPlace } from './token-place.ts';
import type { KeySource, TokenRule } from './token-rule.ts';

/**
 * The rules about tokens that bind the workload: those of all its policies together, as in Istio, whichever their level. They count
 * in the order of their issuers, and then of their policies. Undefined: nothing asks for tokens.
 */
export function boundTokenRules(
  policies: readonly Resource<RequestAuthenticationSpec>[],
  workload: BoundWorkload,
  mesh: Mesh,
): readonly TokenRule[] {
  const binding = policies.filter((policy) => attaches(policy, workload, mesh.rootNamespace));
  const rules = binding.flatMap(({ namespace, name, spec }) =>
    (spec.jwtRules ?? []).map((rule, index) => tokenRule(rule, `${namespace}/${name}`, index)),
  );
  return rules.sort((left, right) => compareText(left.issuer, right.issuer) || compareText(left.policy, right.policy));
}

/** The judge of these rules; undefined where there are none. */
export function compileAuthentication(rules: readonly TokenRule[], verifier: TokenVerifier): TokenJudge | undefined {
  return rules.length === 0 ? undefined : new TokenJudge(rules, watchedPlaces(rules), verifier);
}

function watchedPlaces(rules: readonly TokenRule[]): readonly WatchedPlace[] {
  const byPlace = new Map<string, { place: TokenPlace; rules: TokenRule[] }>();
  for (const rule of rules) {
    for (const place of rule.places) {
      const key = placeKey(place);
      const watched = byPlace.get(key);
      if (watched === undefined) byPlace.set(key, { place, rules: [rule] });
      else if (!watched.rules.includes(rule)) watched.rules.push(rule);
    }
  }
  return [...byPlace.values()];
}

function tokenRule(rule: JwtRule, policy: string, index: number): TokenRule {
  const { issuer, audiences = [], outputPayloadToHeader, outputClaimToHeaders = [], forwardOriginalToken } = rule;
  return {
    policy,
    index,
    issuer,
    audiences,
    accepted: audiences.length === 0 ? undefined : new Set(audiences.map(sanitizedAudience)),
    source: keySource(rule),
    places: placesOf(rule),
    isForwarded: forwardOriginalToken === true,
    payloadHeader: outputPayloadToHeader,
    claimHeaders: outputClaimToHeaders,
  };
}

function placesOf({ fromHeaders = [], fromParams = [], fromCookies = [] }: JwtRule): readonly TokenPlace[] {
  const places: TokenPlace[] = [
    ...fromHeaders.map(({ name, prefix = '' }) => ({ kind: 'header' as const, name: name.toLowerCase(), prefix })),
    ...fromParams.map((name) => ({ kind: 'parameter' as const, name })),
    ...fromCookies.map((name) => ({ kind: 'cookie' as const, name })),
  ];
  return places.length === 0 ? [DEFAULT_PLACE] : places;
}

function keySource({ issuer, jwks, timeout: timeoutMs = DEFAULT_JWKS_TIMEOUT_MS, ...rule }: JwtRule): KeySource {
  if (jwks !== undefined) return inlineKeys(jwks);
  const uri = rule.jwksUri ?? rule.jwks_uri;
  if (uri !== undefined) return { kind: 'uri', key: `uri ${uri}`, url: uri, timeoutMs };
  const url = discoveryUrl(issuer);
  return url === undefined ? NO_KEYS : { kind: 'discovery', key: `discovery ${url}`, url, timeoutMs };
}

/** Nothing says where the keys are: the rule accepts no token. */
const NO_KEYS: KeySource = { kind: 'inline', key: 'none', keys: new KeySet([]) };

function inlineKeys(text: string): KeySource {
  const keys = readKeySet(text, { secrets: true });
  if (typeof keys === 'string') return NO_KEYS; // refused when the resource was read
  return { kind: 'inline', key: `inline ${createHash('sha256').update(text).digest('base64url')}`, keys };
}

function compareText(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
