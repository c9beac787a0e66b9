import type { Problem } from '../problem.ts';
import { canonicalJson } from '../resource/canonical-json.ts';
import type { Resource } from '../resource/kind.ts';
import type { AuthorizationPolicySpec } from '../resource/kinds/authorization-policy.ts';
import type { AuthorizationRule } from '../resource/kinds/authorization-rule.ts';
import { placeOf, problemAt, type SourcedResource } from '../resource/sourced-resource.ts';

/** DENY rules of one scope that ALLOW rules are compared with: an answer at admission must not wait for more. */
export const MAX_COMPARED_DENIALS = 10_000;

interface Sourced {
  readonly sourced: SourcedResource;
  readonly policy: Resource<AuthorizationPolicySpec>;
}

/** A DENY rule, named only where something is to be said of it. */
interface Denial extends Sourced {
  readonly index: number;
}

/** The DENY rules of one scope, by what they match. */
interface Denials {
  readonly byRule: Map<string, Denial>;
  compared: number;
}

/**
 * ALLOW rules of `judged` that can never allow anything, because a DENY policy among `all` of the same namespace and
 * selector has the same rule, or one that matches everything: DENY is judged first.
 */
export function contradictions(
  judged: readonly SourcedResource[],
  all: readonly SourcedResource[],
): readonly Problem[] {
  const allowing = policiesOf(judged, 'ALLOW');
  if (allowing.length === 0) return [];
  const scopes = denialsOf(all, new Set(allowing.map(({ policy }) => policy.namespace)));
  return allowing.flatMap(({ sourced, policy }) => {
    const denials = scopes.get(scopeOf(policy));
    if (denials === undefined) return [];
    const problems = (policy.spec.rules ?? []).flatMap((rule, index) => {
      const denial = denials.byRule.get(ruleKey(rule)) ?? denials.byRule.get(EVERYTHING);
      if (denial === undefined) return [];
      const name = `${denial.policy.namespace}/${denial.policy.name} rule ${denial.index} (${placeOf(denial.sourced)})`;
      const message = `rule ${index} can never allow anything: DENY policy ${name} covers it, and DENY is judged first`;
      return [problemAt(sourced, ['spec', 'rules', index], 'warning', 'contradiction', message)];
    });
    if (denials.compared <= MAX_COMPARED_DENIALS) return problems;
    const message = `the selector has more than ${MAX_COMPARED_DENIALS} DENY rules: further ones were not compared`;
    return [...problems, problemAt(sourced, ['spec', 'rules'], 'warning', 'too_many_denials', message)];
  });
}

function policiesOf(all: readonly SourcedResource[], action: AuthorizationPolicySpec['action']): readonly Sourced[] {
  return all.flatMap((sourced) =>
    sourced.any.type === 'AuthorizationPolicy' && sourced.any.resource.spec.action === action
      ? [{ sourced, policy: sourced.any.resource }]
      : [],
  );
}

function denialsOf(all: readonly SourcedResource[], namespaces: ReadonlySet<string>): ReadonlyMap<string, Denials> {
  const scopes = new Map<string, Denials>();
  for (const { sourced, policy } of policiesOf(all, 'DENY')) {
    if (!namespaces.has(policy.namespace)) continue;
    const scope = scopeOf(policy);
    const denials = scopes.get(scope) ?? { byRule: new Map(), compared: 0 };
    scopes.set(scope, denials);
    for (const [index, rule] of (policy.spec.rules ?? []).entries()) {
      denials.compared += 1;
      if (denials.compared > MAX_COMPARED_DENIALS) break;
      const key = ruleKey(rule);
      if (!denials.byRule.has(key)) denials.byRule.set(key, { sourced, policy, index });
    }
  }
  return scopes;
}

function scopeOf({ namespace, spec }: Resource<AuthorizationPolicySpec>): string {
  return `${namespace} ${canonicalJson(spec.selector?.matchLabels ?? {})}`;
}

/** Equal for rules that match the same: order of lists and of keys does not count. */
function ruleKey({ from, to, when }: Partial<AuthorizationRule>): string {
  return unordered({ from, to, when });
}

const EVERYTHING = ruleKey({});

function unordered(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(unordered).sort().join()}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? '';
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return `{${members
    .map(([key, member]) => `${JSON.stringify(key)}:${unordered(member)}`)
    .sort()
    .join()}}`;
}
