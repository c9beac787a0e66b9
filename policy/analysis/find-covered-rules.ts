import type { Problem } from '../problem.ts';
import { placeOf, type SourcedResource } from '../resource/sourced-resource.ts';
import type { Mesh } from '../workload-policy.ts';
import { doubt } from './analysis-code.ts';
import {
  type Action,
  compareOrder,
  MAX_COMPARED_RULES,
  type PlacedPolicy,
  type PlacedRule,
  placedRules,
  policiesOf,
} from './placed-rules.ts';
import { MAX_CANDIDATES, PolicyScopes } from './policy-scopes.ts';
import type { ScopeMemory } from './rule-scope.ts';

/** A rule that decides nothing, and the one that decides before it. */
export interface CoveredRule {
  readonly rule: PlacedRule;
  readonly by: PlacedRule;
}

/** What was found of one policy. */
export interface CoveredRules {
  readonly placed: PlacedPolicy;
  readonly covered: readonly CoveredRule[];
  /** Actions of which not all rules were compared. */
  readonly cut: ReadonlySet<Action>;
}

/** Rules of `judged` that never decide, because another among `all` that is judged before them matches all that they match. */
export function* coveredRules(
  judged: readonly SourcedResource[],
  all: readonly SourcedResource[],
  mesh: Mesh,
  memory?: ScopeMemory,
): Generator<void, readonly CoveredRules[]> {
  const allowing = policiesOf(judged, 'ALLOW');
  const denying = policiesOf(judged, 'DENY');
  if (allowing.length + denying.length === 0) return [];
  const denials = yield* PolicyScopes.of(policiesOf(all, 'DENY'), [...allowing, ...denying], mesh, memory);
  const allowances = yield* PolicyScopes.of(policiesOf(all, 'ALLOW'), allowing, mesh, memory);
  const found: CoveredRules[] = [];
  for (const placed of denying) found.push(yield* coveredIn(placed, [['DENY', denials]]));
  for (const placed of allowing) {
    found.push(
      yield* coveredIn(placed, [
        ['DENY', denials],
        ['ALLOW', allowances],
      ]),
    );
  }
  return found;
}

function* coveredIn(
  placed: PlacedPolicy,
  before: readonly (readonly [Action, PolicyScopes])[],
): Generator<void, CoveredRules> {
  const covered: CoveredRule[] = [];
  const cut = new Set<Action>();
  for (const rule of placedRules(placed)) {
    for (const [action, scopes] of before) {
      const isMeant = action === rule.policy.spec.action ? (one: PlacedRule) => isBefore(one, rule) : () => true;
      const { found, isCut } = scopes.coverOf(rule, isMeant);
      if (isCut) cut.add(action);
      if (found === undefined) continue;
      covered.push({ rule, by: found });
      break;
    }
    yield;
  }
  return { placed, covered, cut };
}

function isBefore(one: PlacedRule, other: PlacedRule): boolean {
  if (one.policy === other.policy) return one.index < other.index;
  return compareOrder(one.policy, other.policy) < 0;
}

/** What is to be said of rules that decide nothing. */
export function coveredProblems(found: readonly CoveredRules[]): readonly Problem[] {
  return found.flatMap(({ placed, covered, cut }) => [
    ...covered.map(({ rule, by }) => coveredProblem(rule, by)),
    ...[...cut].map((action) => cutProblem(placed, action)),
  ]);
}

function coveredProblem(rule: PlacedRule, by: PlacedRule): Problem {
  const path = ['spec', 'rules', rule.index];
  const { action } = by.policy.spec;
  if (action === 'DENY' && rule.policy.spec.action === 'ALLOW') {
    const name = `${by.policy.namespace}/${by.policy.name} rule ${by.index} (${placeOf(by.sourced)})`;
    const message = `rule ${rule.index} can never allow anything: DENY policy ${name} covers it, and DENY is judged first`;
    return doubt(rule.sourced, path, 'contradiction', message);
  }
  const isOwn = by.policy === rule.policy;
  const name = isOwn
    ? `rule ${by.index}`
    : `rule ${by.index} of ${action} policy ${by.policy.namespace}/${by.policy.name} (${placeOf(by.sourced)})`;
  const message = `rule ${rule.index} decides nothing: ${name} matches all that it matches, and comes first; remove one of them, or narrow the first`;
  return doubt(rule.sourced, path, 'shadowed_rule', message);
}

function cutProblem({ sourced }: PlacedPolicy, action: Action): Problem {
  const path = ['spec', 'rules'];
  const more = `more than ${MAX_COMPARED_RULES} ${action} rules, or ${MAX_CANDIDATES} of like values: further ones were not compared`;
  return action === 'DENY'
    ? doubt(sourced, path, 'too_many_denials', `the selector has ${more}`)
    : doubt(sourced, path, 'too_many_rules', `the selector has ${more}`);
}
