import { targetedServices } from '../resource/kinds/attachment.ts';
import type { AuthorizationPolicySpec } from '../resource/kinds/authorization-policy.ts';
import type { Mesh } from '../workload-policy.ts';
import { coversRule } from './covers-rule.ts';
import { EVERYTHING, MAX_COMPARED_RULES, type PlacedPolicy, type PlacedRule, ruleText } from './placed-rules.ts';
import { RuleScope, type ScopeMemory } from './rule-scope.ts';

/** Rules that one rule is compared with, of those whose values make it likely. */
export const MAX_CANDIDATES = 256;

/** Where a rule that covers another is looked for. */
export interface Search {
  readonly found: PlacedRule | undefined;
  /** Not all that could cover it were compared. */
  readonly isCut: boolean;
}

/** The rules of one action, by the workloads that they are judged for. */
export class PolicyScopes {
  readonly #scopes: ReadonlyMap<string, readonly RuleScope[]>;
  readonly #mesh: Mesh;

  private constructor(scopes: ReadonlyMap<string, readonly RuleScope[]>, mesh: Mesh) {
    this.#scopes = scopes;
    this.#mesh = mesh;
  }

  /** Of `policies` those that may bind workloads of the judged ones. `memory`: what was made of the others before. */
  static *of(
    policies: readonly PlacedPolicy[],
    judged: readonly PlacedPolicy[],
    mesh: Mesh,
    memory?: ScopeMemory,
  ): Generator<void, PolicyScopes> {
    const wanted = new Set(judged.flatMap(({ policy }) => [...scopesWithin(policy, mesh)]));
    const byScope = new Map<string, PlacedPolicy[]>();
    for (const placed of policies) {
      const scope = scopeOf(placed.policy);
      if (!wanted.has(scope)) continue;
      const list = byScope.get(scope) ?? [];
      byScope.set(scope, list);
      list.push(placed);
      yield;
    }
    const scopes = new Map<string, readonly RuleScope[]>();
    const asked = new Set(judged.map(({ policy }) => policy));
    for (const [key, list] of byScope) {
      const remembered = memory === undefined ? undefined : yield* memory.scopesOf(key, list, asked);
      scopes.set(key, remembered ?? [yield* RuleScope.of(list, MAX_COMPARED_RULES)]);
    }
    return new PolicyScopes(scopes, mesh);
  }

  /** The rule that matches whatever `rule` matches, for all workloads that its policy binds, among those that `isMeant`. */
  coverOf(rule: PlacedRule, isMeant: (candidate: PlacedRule) => boolean): Search {
    const text = ruleText(rule);
    let isCut = false;
    let found: PlacedRule | undefined;
    for (const key of scopesWithin(rule.policy, this.#mesh)) {
      const parts = this.#scopes.get(key);
      if (parts === undefined) continue;
      isCut ||= parts.some((scope) => scope.isCut);
      let compared = 0;
      const visit = (candidate: PlacedRule) => {
        if (candidate.clauses === rule.clauses) return false;
        if (++compared > MAX_CANDIDATES) return true;
        if (!isMeant(candidate) || !bindsAll(candidate.policy, rule.policy)) return false;
        if (!coversRule(candidate.clauses, rule.clauses)) return false;
        found = candidate;
        return true;
      };
      if (
        !parts.some((scope) => scope.visitWritten(text, visit)) &&
        !parts.some((scope) => scope.visitWritten(EVERYTHING, visit))
      )
        parts.some((scope) => scope.visitLikely(rule.clauses, visit));
      if (found !== undefined) return { found, isCut };
      isCut ||= compared > MAX_CANDIDATES;
    }
    return { found, isCut };
  }
}

/** The one scope that a policy is kept in: that of the first of its labels, or of those that target services. */
function scopeOf(policy: PlacedPolicy['policy']): string {
  if (targetedServices(policy).length > 0) return targetScope(policy.namespace);
  const [first] = labelsOf(policy.spec);
  return JSON.stringify([policy.namespace, ...(first ?? [])]);
}

/** Of all that target services of the namespace; no label is of this form. */
function targetScope(namespace: string): string {
  return JSON.stringify([namespace, 'targets']);
}

/** All scopes of policies that may bind every workload that this one binds. */
function* scopesWithin(policy: PlacedPolicy['policy'], { rootNamespace }: Mesh): Generator<string> {
  const { namespace, spec } = policy;
  if (targetedServices(policy).length > 0) yield targetScope(namespace);
  for (const where of new Set([namespace, rootNamespace])) {
    yield JSON.stringify([where]);
    for (const label of labelsOf(spec)) yield JSON.stringify([where, ...label]);
  }
}

function labelsOf(spec: AuthorizationPolicySpec): readonly (readonly [string, string])[] {
  return Object.entries(spec.selector?.matchLabels ?? {}).sort(([left], [right]) => (left < right ? -1 : 1));
}

/** Whether a policy of one of `scopesWithin` binds every workload that the other binds. */
function bindsAll(policy: PlacedPolicy['policy'], other: PlacedPolicy['policy']): boolean {
  const targets = new Set(targetedServices(policy));
  if (targets.size > 0) {
    const others = targetedServices(other);
    return others.length > 0 && others.every((name) => targets.has(name));
  }
  const { spec } = policy;
  const labels = other.spec.selector?.matchLabels ?? {};
  for (const [key, value] of Object.entries(spec.selector?.matchLabels ?? {})) {
    if (!Object.hasOwn(labels, key) || labels[key] !== value) return false;
  }
  return true;
}
