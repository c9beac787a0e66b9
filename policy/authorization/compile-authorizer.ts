import type { Condition } from '../condition/compile-condition.ts';
import type { Resource } from '../resource/kind.ts';
import { attaches } from '../resource/kinds/attachment.ts';
import type { AuthorizationPolicySpec } from '../resource/kinds/authorization-policy.ts';
import { finish } from '../steps/finish.ts';
import type { Steps } from '../steps/take-in-slices.ts';
import type {
  AuthorizationDecision,
  AuthorizationRequest,
  Authorizer,
  BoundWorkload,
  EffectiveDefaults,
  ExplanationBudget,
  Mesh,
} from '../workload-policy.ts';
import type { OwnDomains } from './all-names-of.ts';
import { Sight } from './attribute.ts';
import { ClauseCompiler } from './clause-compiler.ts';
import { compileRule } from './compile-rule.ts';
import { ConditionClause, type ConditionPlace, unjudged } from './condition-clause.ts';
import type { Doubt } from './doubt.ts';
import { withNearestMiss } from './explain-miss.ts';
import { ObservingAuthorizer } from './observing-authorizer.ts';
import { possibleDecisions } from './possible-decisions.ts';
import { RuleEngine } from './rule-engine.ts';
import { ruleKeys } from './rule-keys.ts';
import { RuleTallies } from './rule-tallies.ts';
import { Rule, type Term, termsOf } from './term.ts';

export type Policy = Resource<AuthorizationPolicySpec>;
/** By their texts. */
export type Conditions = ReadonlyMap<string, Condition>;

/** What of the mesh's defaults decisions depend on; without `pathNormalization` it is `Refuse`. */
type AuthorizationDefaults = Pick<EffectiveDefaults, 'authorizationDefault'> &
  Partial<Pick<EffectiveDefaults, 'pathNormalization'>>;

/** In place of the nearest rule. */
const UNEXPLAINED =
  'the nearest rule was not looked for, since very many requests are refused just now: `lateral authz` finds it';

const NO_CONDITIONS: Conditions = new Map();

/**
 * Compiles the policies that bind the workload (those that do not are left out): DENY first, then ALLOW, then
 * the mesh's default. Source: Istio, for a sidecar. A decision allocates nothing but what it reads of the request.
 * `own`: all names of the own trust domain, where it has others than the mesh says. `conditions`: those of the policies, compiled.
 * `tallies`: where matches are counted.
 */
export function compileAuthorizer(
  policies: readonly Policy[],
  workload: Pick<BoundWorkload, 'namespace' | 'name' | 'labels' | 'services'>,
  mesh: Mesh,
  defaults: AuthorizationDefaults,
  own: OwnDomains = { names: [mesh.trustDomain] },
  conditions: Conditions = NO_CONDITIONS,
  tallies = new RuleTallies(),
): Authorizer {
  return finish(compilingAuthorizer(policies, workload, mesh, defaults, own, conditions, tallies));
}

/** The same in steps: ten thousand rules take some 200 ms. */
export function* compilingAuthorizer(
  policies: readonly Policy[],
  workload: Pick<BoundWorkload, 'namespace' | 'name' | 'labels' | 'services'>,
  mesh: Mesh,
  defaults: AuthorizationDefaults,
  own: OwnDomains,
  conditions: Conditions,
  tallies: RuleTallies,
): Steps<Authorizer> {
  const binding = bindingPolicies(policies, workload, mesh);
  const compiler = new ClauseCompiler(defaults.pathNormalization);
  const sight = new Sight();
  const termsFor = (action: Rule['action'], isOnTrial = false, firstOrder = 0) => {
    const chosen = binding.filter(
      (policy) => policy.spec.action === action && (policy.isOnTrial ?? false) === isOnTrial,
    );
    return termsOfPolicies(chosen, action, { own, compiler, conditions, tallies }, firstOrder);
  };
  function* engineOf(action: Rule['action'], isOnTrial = false) {
    return yield* RuleEngine.of(yield* termsFor(action, isOnTrial), sight);
  }
  const denials = yield* termsFor('DENY');
  const allowances = yield* termsFor('ALLOW', false, (denials.at(-1)?.order ?? -1) + 1);
  const allowing = binding.filter(({ spec, isOnTrial = false }) => spec.action === 'ALLOW' && !isOnTrial);
  const unmatched = allowing.length === 0 ? withoutAllowPolicy(workload, defaults) : notAllowed(allowing);
  const rules = yield* RuleEngine.of([...denials, ...allowances], sight, allowances);
  const authorizer = new CompiledAuthorizer(sight, rules, unmatched);
  const enforcesAll = binding.every(({ spec, isOnTrial = false }) => spec.action !== 'AUDIT' && !isOnTrial);
  if (enforcesAll) return authorizer;
  const trial = binding.filter(({ spec, isOnTrial = false }) => spec.action === 'ALLOW' && isOnTrial);
  return new ObservingAuthorizer(authorizer, {
    sight,
    audits: yield* engineOf('AUDIT'),
    denials: yield* engineOf('DENY', true),
    allowances: yield* engineOf('ALLOW', true),
    unmatched: trial.length === 0 ? undefined : notAllowedOnTrial(allowing, trial),
  });
}

/** Those that are for sidecars, and for this one. */
export function bindingPolicies(
  policies: readonly Policy[],
  workload: Pick<BoundWorkload, 'namespace' | 'labels' | 'services'>,
  mesh: Mesh,
): readonly Policy[] {
  return policies.filter((policy) => attaches(policy, workload, mesh.rootNamespace));
}

class CompiledAuthorizer implements Authorizer {
  readonly rules: Authorizer['rules'];
  readonly #sight: Sight;
  /** DENY, then ALLOW: one walk through one index finds what decides. */
  readonly #rules: RuleEngine;
  /** Where no rule matches. */
  readonly #unmatched: AuthorizationDecision;
  /** The same, where nobody looked which rule was nearest. */
  readonly #unexplained: AuthorizationDecision;

  constructor(sight: Sight, rules: RuleEngine, unmatched: AuthorizationDecision) {
    this.#sight = sight;
    this.#rules = rules;
    this.#unmatched = unmatched;
    this.rules = [...new Set(rules.rules())];
    this.#unexplained = { ...unmatched, reason: `${unmatched.reason}; ${UNEXPLAINED}` };
  }

  decide(request: AuthorizationRequest): AuthorizationDecision {
    this.#sight.begin(request);
    const decision = this.#decision();
    this.#sight.end();
    return decision;
  }

  #decision(): AuthorizationDecision {
    const found = this.#rules.first();
    if (found?.action === 'ALLOW') return decided(found);
    const fault = this.#sight.faultOf(found?.action ?? 'ALLOW');
    if (found === undefined) return fault === undefined ? this.#unmatched : unjudged(fault);
    const isOfFault = fault?.place.policy === found.policy && fault.place.rule === found.index;
    const decision = decided(found); // it decides either way
    return isOfFault ? unjudged(fault) : decision;
  }

  possible(request: AuthorizationRequest, doubt: Doubt): readonly AuthorizationDecision[] {
    this.#sight.begin(request);
    const by = { sight: this.#sight, terms: this.#rules.candidates(doubt), unmatched: this.#unmatched };
    const decisions = possibleDecisions(by, doubt);
    this.#sight.end();
    return decisions;
  }

  explain(
    decision: AuthorizationDecision,
    request: AuthorizationRequest,
    budget?: ExplanationBudget,
  ): AuthorizationDecision {
    if (decision !== this.#unmatched || decision.kind === 'allow' || !this.#rules.allowsAny) return decision;
    if (budget?.take(request) === false) return this.#unexplained;
    this.#sight.begin(request);
    const miss = this.#rules.nearestMiss();
    this.#sight.end();
    return withNearestMiss(decision, miss);
  }
}

function decided(rule: Rule): AuthorizationDecision {
  rule.tally.matches++;
  return rule.decision;
}

interface TermParts {
  readonly own: OwnDomains;
  readonly compiler: ClauseCompiler;
  readonly conditions: Conditions;
  readonly tallies: RuleTallies;
}

/** The terms of the rules of policies, in their order, from `firstOrder` on. */
export function* termsOfPolicies(
  policies: readonly Policy[],
  action: Rule['action'],
  { own, compiler, conditions, tallies }: TermParts,
  firstOrder: number,
): Steps<readonly Term[]> {
  let order = firstOrder;
  const terms: Term[] = [];
  for (const policy of policies) {
    const { namespace, name, spec } = policy;
    const keys = ruleKeys(policy);
    for (const [index, given] of (spec.rules ?? []).entries()) {
      const place = { policy: `${namespace}/${name}`, rule: index, order, action };
      const condition = conditionClause(given.condition, conditions, place);
      const fields = compileRule(given, { namespace, own }, compiler);
      const compiled = { ...fields, when: [...fields.when, ...condition] };
      const clauses = [compiled.from, compiled.to, [compiled.when]].flat(2);
      const tally = tallies.tallyOf(place.policy, index, keys.next().value ?? '');
      const rule = new Rule(place.policy, index, action, clauses.find(({ isHttp }) => isHttp)?.field, tally);
      terms.push(...termsOf(compiled, order++, rule));
      yield;
    }
  }
  return terms;
}

function conditionClause(
  text: string | undefined,
  conditions: Conditions,
  place: ConditionPlace,
): readonly ConditionClause[] {
  if (text === undefined) return [];
  const condition = conditions.get(text);
  if (condition === undefined) throw new TypeError(`the condition of ${place.policy} was not compiled`);
  return [new ConditionClause(text, condition, place)];
}

function withoutAllowPolicy(
  { namespace, name }: Pick<BoundWorkload, 'namespace' | 'name'>,
  { authorizationDefault }: Pick<EffectiveDefaults, 'authorizationDefault'>,
): AuthorizationDecision {
  const facts = { policy: undefined, rule: undefined };
  const reason = `no ALLOW policy binds ${namespace}/${name} and MeshDefaults.authorization.default is ${authorizationDefault}`;
  if (authorizationDefault === 'Allow') return { kind: 'allow', ...facts, reason };
  return { kind: 'deny', code: 'authorization_default_deny', ...facts, reason };
}

/** Names the policy on trial where it is alone: without it nothing would be refused. */
function notAllowedOnTrial(allowing: readonly Policy[], trial: readonly Policy[]): AuthorizationDecision {
  const [first] = trial;
  const decision = notAllowed([...allowing, ...trial]);
  return first === undefined || trial.length > 1
    ? decision
    : { ...decision, policy: `${first.namespace}/${first.name}` };
}

function notAllowed(allowing: readonly Policy[]): AuthorizationDecision {
  const [first] = allowing;
  const count = allowing.length === 1 ? '1 ALLOW policy' : `${allowing.length} ALLOW policies`;
  const facts = { kind: 'deny', code: 'authorization_not_allowed', rule: undefined } as const;
  if (allowing.some(({ spec }) => (spec.rules ?? []).length > 0)) {
    return { ...facts, policy: undefined, reason: `no rule of ${count} matched` };
  }
  const bind = allowing.length === 1 ? 'binds' : 'bind';
  const reason = `${count} ${bind} the workload, without any rule: all is denied`;
  return { ...facts, policy: first === undefined ? undefined : `${first.namespace}/${first.name}`, reason };
}
