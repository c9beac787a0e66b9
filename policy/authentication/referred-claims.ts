import type { Condition } from '../condition/compile-condition.ts';
import type { Resource } from '../resource/kind.ts';
import type { AuthorizationPolicySpec } from '../resource/kinds/authorization-policy.ts';

/** The names that lead to a claim. */
export type ClaimPath = readonly string[];

const CLAIMS_OF_PRINCIPAL: readonly ClaimPath[] = [['iss'], ['sub']];
const BY_KEY: { readonly [key: string]: readonly ClaimPath[] } = {
  'request.auth.principal': CLAIMS_OF_PRINCIPAL,
  'request.auth.audiences': [['aud']],
  'request.auth.presenter': [['azp']],
};
const CLAIM_KEY = /^request\.auth\.claims((?:\[[^[\]]+\])+)$/;

/** The claims that the policies look at, each once; shorter paths first. */
export function referredClaims(
  policies: readonly Resource<AuthorizationPolicySpec>[],
  conditions: Iterable<Condition> = [],
): readonly ClaimPath[] {
  const paths = policies.flatMap(({ spec }) =>
    (spec.rules ?? []).flatMap(({ from, when }) => [
      ...(from ?? []).flatMap(({ source }) =>
        source.requestPrincipals === undefined && source.notRequestPrincipals === undefined ? [] : CLAIMS_OF_PRINCIPAL,
      ),
      ...(when ?? []).flatMap(({ key }) => pathsOf(key)),
    ]),
  );
  for (const { reads } of conditions) paths.push(...[...reads.claims].map((claim) => [claim]));
  const distinct = new Map(paths.map((path) => [JSON.stringify(path), path]));
  return [...distinct.values()].sort((left, right) => left.length - right.length || compare(left, right));
}

function pathsOf(key: string): readonly ClaimPath[] {
  const names = CLAIM_KEY.exec(key)?.[1]?.slice(1, -1).split('][');
  if (names !== undefined) return [names];
  return Object.hasOwn(BY_KEY, key) ? (BY_KEY[key] ?? []) : [];
}

function compare(left: ClaimPath, right: ClaimPath): number {
  return JSON.stringify(left) < JSON.stringify(right) ? -1 : 1;
}
