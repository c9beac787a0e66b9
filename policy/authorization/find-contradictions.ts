import type { Problem } from '../problem.ts';
import { canonicalJson } from '../resource/canonical-json.ts';
import type { Resource } from '../resource/kind.ts';
import type { AuthorizationPolicySpec } from '../resource/kinds/authorization-policy.ts';
import type { AuthorizationRule } from '../resource/kinds/authorization-rule.ts';
import { placeOf, problemAt, type SourcedResource } from '../resource/sourced-resource.ts';

interface Sourced {
  readonly sourced: SourcedResource;
  readonly policy: Resource<AuthorizationPolicySpec>;
}

/**
 * ALLOW rules that can never allow anything, because a DENY policy of the same namespace and selector has the
 * same rule, or one that matches everything: DENY is judged first.
 */
export function contradictions(all: readonly SourcedResource[]): readonly Problem[] {
  const policies: Sourced[] = all.flatMap((sourced) =>
    sourced.any.type === 'AuthorizationPolicy' ? [{ sourced, policy: sourced.any.resource }] : [],
  );
  const denials = new Map<string, string>();
  for (const { sourced, policy } of policies) {
    if (policy.spec.action !== 'DENY') continue;
    for (const [index, rule] of (policy.spec.rules ?? []).entries()) {
      const key = `${scopeOf(policy)} ${ruleKey(rule)}`;
      if (!denials.has(key)) denials.set(key, `${policy.namespace}/${policy.name} rule ${index} (${placeOf(sourced)})`);
    }
  }
  return policies.flatMap(({ sourced, policy }) => {
    if (policy.spec.action !== 'ALLOW') return [];
    return (policy.spec.rules ?? []).flatMap((rule, index) => {
      const scope = scopeOf(policy);
      const denial = denials.get(`${scope} ${ruleKey(rule)}`) ?? denials.get(`${scope} ${ruleKey({})}`);
      if (denial === undefined) return [];
      const message = `rule ${index} can never allow anything: DENY policy ${denial} covers it, and DENY is judged first`;
      return [problemAt(sourced, ['spec', 'rules', index], 'warning', 'contradiction', message)];
    });
  });
}

function scopeOf({ namespace, spec }: Resource<AuthorizationPolicySpec>): string {
  return `${namespace} ${canonicalJson(spec.selector?.matchLabels ?? {})}`;
}

/** Equal for rules that match the same: order of lists and of keys does not count. */
function ruleKey(rule: Partial<AuthorizationRule>): string {
  return canonicalJson(sorted({ from: rule.from, to: rule.to, when: rule.when }));
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value))
    return value.map(sorted).sort((left, right) => (canonicalJson(left) < canonicalJson(right) ? -1 : 1));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, sorted(member)]));
}
