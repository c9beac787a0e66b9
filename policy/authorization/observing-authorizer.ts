import type { Code } from '../error/codes.ts';
import type {
  AuthorizationDecision,
  AuthorizationRequest,
  Authorizer,
  ExplanationBudget,
  Observation,
} from '../workload-policy.ts';
import type { Sight } from './attribute.ts';
import { unjudged } from './condition-clause.ts';
import type { Doubt } from './doubt.ts';
import { withNearestMiss } from './explain-miss.ts';
import type { RuleEngine } from './rule-engine.ts';
import type { Rule } from './term.ts';

/** What enforces nothing, each in an index of its own: what is in force is the same with and without it. */
export interface ObservedRules {
  readonly sight: Sight;
  readonly audits: RuleEngine;
  /** On trial. */
  readonly denials: RuleEngine;
  readonly allowances: RuleEngine;
  /** For what no ALLOW rule would match; undefined: no ALLOW policy is on trial. */
  readonly unmatched: AuthorizationDecision | undefined;
}

/** Denials for want of a match; what a DENY rule refuses, or a condition that cannot be judged, no further policy lets pass. */
const ALLOWANCES_WOULD_CHANGE: ReadonlySet<Code> = new Set(['authorization_not_allowed', 'authorization_default_deny']);

/** Decides as another does, and tells what AUDIT policies and those on trial say beside it. */
export class ObservingAuthorizer implements Authorizer {
  readonly rules: Authorizer['rules'];
  readonly #authorizer: Authorizer;
  readonly #rules: ObservedRules;

  constructor(authorizer: Authorizer, rules: ObservedRules) {
    this.#authorizer = authorizer;
    this.#rules = rules;
    const observed = [rules.audits, rules.denials, rules.allowances].flatMap((engine) => [...engine.rules()]);
    this.rules = [...authorizer.rules, ...new Set(observed)];
  }

  decide(request: AuthorizationRequest): AuthorizationDecision {
    return this.#authorizer.decide(request);
  }

  possible(request: AuthorizationRequest, doubt: Doubt): readonly AuthorizationDecision[] {
    return this.#authorizer.possible(request, doubt);
  }

  /** Of what would be decided on trial too. */
  explain(
    decision: AuthorizationDecision,
    request: AuthorizationRequest,
    budget?: ExplanationBudget,
  ): AuthorizationDecision {
    const { sight, allowances, unmatched } = this.#rules;
    if (decision === unmatched) {
      if (budget?.take(request) === false) return decision;
      sight.begin(request);
      const miss = allowances.nearestMiss();
      sight.end();
      return withNearestMiss(decision, miss);
    }
    return this.#authorizer.explain(decision, request, budget);
  }

  readonly observe = (decision: AuthorizationDecision, request: AuthorizationRequest): Observation | undefined => {
    const { sight, audits } = this.#rules;
    sight.begin(request);
    const audited = counted(audits.first());
    const trial = this.#trial(decision);
    sight.end();
    return audited === undefined && trial === undefined ? undefined : { audited, trial };
  };

  /** As if the policies on trial were in force with the others; undefined: as it is. */
  #trial(decision: AuthorizationDecision): AuthorizationDecision | undefined {
    const { sight, denials, allowances, unmatched } = this.#rules;
    if (decision.kind === 'deny' && !ALLOWANCES_WOULD_CHANGE.has(decision.code)) return undefined;
    const denial = counted(denials.first());
    if (denial !== undefined) {
      if (decision.kind === 'deny') return undefined;
      const fault = sight.faultOf('DENY');
      return fault === undefined ? denial.decision : unjudged(fault);
    }
    if (unmatched === undefined || (decision.kind === 'allow' && decision.rule !== undefined)) return undefined;
    const allowance = counted(allowances.first())?.decision;
    if (decision.kind === 'allow') return allowance === undefined ? unmatched : undefined;
    return allowance;
  }
}

function counted(rule: Rule | undefined): Rule | undefined {
  if (rule !== undefined) rule.tally.matches++;
  return rule;
}
