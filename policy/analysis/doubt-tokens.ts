import type { Problem } from '../problem.ts';
import type { Resource } from '../resource/kind.ts';
import { type Attached, isForSidecars, targetedServices } from '../resource/kinds/attachment.ts';
import { effectiveDefaults } from '../resource/kinds/mesh-defaults.ts';
import type { RequestAuthenticationSpec } from '../resource/kinds/request-authentication.ts';
import type { SourcedResource } from '../resource/sourced-resource.ts';
import type { Mesh } from '../workload-policy.ts';
import { doubt } from './analysis-code.ts';
import { isEnforced, type PlacedPolicy } from './placed-rules.ts';
import { clausesOf, type RuleClauses } from './rule-clauses.ts';

type Policy = PlacedPolicy['policy'];

/** A RequestAuthentication that refuses bad tokens, where requests without any pass: no rule for its workloads speaks of tokens. */
export function tokenDoubts(
  sourced: SourcedResource,
  tokens: Resource<RequestAuthenticationSpec>,
  all: readonly SourcedResource[],
  mesh: Mesh,
): readonly Problem[] {
  if (!isForSidecars(tokens) || (tokens.spec.jwtRules ?? []).length === 0) return [];
  let allows = false;
  let isBoundByAllow = false;
  for (const { any } of all) {
    if (any.type !== 'AuthorizationPolicy') continue;
    const policy = any.resource;
    if (!isEnforced(policy) || !mayBindTogether(policy, tokens, mesh)) continue;
    const { action, rules = [] } = policy.spec;
    if (action !== 'AUDIT' && rules.some((_rule, index) => speaksOfTokens(clausesOf(policy, index)))) return [];
    isBoundByAllow ||= action === 'ALLOW';
    allows ||= action === 'ALLOW' && rules.length > 0;
  }
  const defaults = all.flatMap(({ any }) => (any.type === 'MeshDefaults' ? [any.resource.spec] : []))[0];
  if (!allows && (isBoundByAllow || effectiveDefaults(defaults).authorizationDefault === 'Deny')) return [];
  const message =
    'requests without a token pass: no rule for these workloads speaks of tokens; say who needs one, as by requestPrincipals: ["*"] in the rules that allow';
  return [doubt(sourced, ['spec', 'jwtRules'], 'token_not_required', message)];
}

/** False only where no workload can have the labels of both, or no two services that they target are one. Services may share workloads. */
function mayBindTogether(policy: Policy, tokens: Attached, { rootNamespace }: Mesh): boolean {
  const spaces = [policy, tokens].filter((one) => one.namespace !== rootNamespace || targetedServices(one).length > 0);
  if (new Set(spaces.map(({ namespace }) => namespace)).size > 1) return false;
  const labels = policy.spec.selector?.matchLabels ?? {};
  return Object.entries(tokens.spec.selector?.matchLabels ?? {}).every(
    ([key, value]) => !Object.hasOwn(labels, key) || labels[key] === value,
  );
}

/** What a claim is asked of by a condition in CEL. */
const TOKEN_IN_CONDITION = /\bjwt\b/;

function speaksOfTokens({ from, to, when, others }: RuleClauses): boolean {
  if (TOKEN_IN_CONDITION.test(others)) return true;
  return [...from.flat(), ...to.flat(), ...when].some(({ attribute }) => attribute.name.startsWith('request.auth.'));
}
