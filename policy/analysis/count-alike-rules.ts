import type { Problem } from '../problem.ts';
import { canonicalJson } from '../resource/canonical-json.ts';
import { targetedServices } from '../resource/kinds/attachment.ts';
import type { SourcedResource } from '../resource/sourced-resource.ts';
import { doubt } from './analysis-code.ts';
import { type PlacedPolicy, type PlacedRule, placedRules, policiesOf } from './placed-rules.ts';
import type { RuleClause, RuleClauses } from './rule-clauses.ts';

/** Rules that differ by negations alone from which on it is told: no index tells them apart, and each is judged by itself. */
export const MAX_ALIKE_RULES = 256;

const ACTIONS = ['DENY', 'ALLOW'] as const;

/** Policies of `judged` with rules that, with those of others of the same selector, are too many of one kind. */
export function* alikeRules(
  judged: readonly SourcedResource[],
  all: readonly SourcedResource[],
): Generator<void, readonly Problem[]> {
  const asked = new Set(judged);
  const problems: Problem[] = [];
  for (const action of ACTIONS) {
    const scopes = Map.groupBy(policiesOf(all, action), scopeOf);
    for (const policies of scopes.values()) {
      if (!policies.some(({ sourced }) => asked.has(sourced))) continue;
      problems.push(...(yield* alikeIn(policies, asked)));
    }
  }
  return problems;
}

function* alikeIn(
  policies: readonly PlacedPolicy[],
  asked: ReadonlySet<SourcedResource>,
): Generator<void, readonly Problem[]> {
  const groups = new Map<string, { count: number; readonly first: Map<SourcedResource, PlacedRule> }>();
  for (const placed of policies) {
    for (const rule of placedRules(placed)) {
      const key = knownPositivesOf(rule);
      if (key !== undefined) {
        const group = groups.get(key) ?? { count: 0, first: new Map() };
        groups.set(key, group);
        group.count += 1;
        if (!group.first.has(rule.sourced)) group.first.set(rule.sourced, rule);
      }
      yield;
    }
  }
  return [...groups.values()].flatMap(({ count, first }) => {
    if (count < MAX_ALIKE_RULES) return [];
    const message = `${count} rules differ from this one by negations alone, so that each is judged for every request: join them (several values of one field), or give each a path, method or caller of its own`;
    return [...first].flatMap(([sourced, { index }]) =>
      asked.has(sourced) ? [doubt(sourced, ['spec', 'rules', index], 'alike_rules', message)] : [],
    );
  });
}

const known = new WeakMap<RuleClauses, { readonly key: string | undefined }>();

function knownPositivesOf(rule: PlacedRule): string | undefined {
  const found = known.get(rule.clauses) ?? { key: positivesOf(rule) };
  known.set(rule.clauses, found);
  return found.key;
}

/** Equal for rules that demand the same; undefined for one that negates nothing. */
function positivesOf({ clauses: { from, to, when, others } }: PlacedRule): string | undefined {
  const all = [...from.flat(), ...to.flat(), ...when];
  if (!all.some(({ isNegative }) => isNegative)) return undefined;
  const shown = (clauses: readonly RuleClause[]) =>
    clauses
      .filter(({ isNegative }) => !isNegative)
      .map(({ attribute, patterns }) => `${attribute.name} ${patterns.map(({ key }) => key).sort()}`)
      .sort();
  return JSON.stringify([from.map(shown), to.map(shown), shown(when), others]);
}

function scopeOf({ policy }: PlacedPolicy): string {
  const { namespace, spec } = policy;
  const targets = targetedServices(policy);
  if (targets.length > 0) return `${namespace} ${canonicalJson([...targets].sort())}`;
  return `${namespace} ${canonicalJson(spec.selector?.matchLabels ?? {})}`;
}
