import type { AuthorizationDecision, AuthorizationRequest, Authorizer, Observation } from '../workload-policy.ts';
import type { Sight } from './attribute.ts';
import type { RuleEngine } from './rule-engine.ts';

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

/** Decides as another does, and tells what AUDIT policies and those on trial say beside it. */
export class ObservingAuthorizer implements Authorizer {
  readonly #authorizer: Authorizer;
  readonly #rules: ObservedRules;

  constructor(authorizer: Authorizer, rules: ObservedRules) {
    this.#authorizer = authorizer;
    this.#rules = rules;
  }

  decide(request: AuthorizationRequest): AuthorizationDecision {
    return this.#authorizer.decide(request);
  }

  explain(decision: AuthorizationDecision, request: AuthorizationRequest): AuthorizationDecision {
    return this.#authorizer.explain(decision, request);
  }

  readonly observe = (decision: AuthorizationDecision, request: AuthorizationRequest): Observation | undefined => {
    const { sight, audits } = this.#rules;
    sight.begin(request);
    const audited = audits.first();
    const trial = this.#trial(decision);
    sight.end();
    return audited === undefined && trial === undefined ? undefined : { audited, trial };
  };

  /** As if the policies on trial were in force with the others; undefined: as it is. */
  #trial(decision: AuthorizationDecision): AuthorizationDecision | undefined {
    const { denials, allowances, unmatched } = this.#rules;
    if (decision.kind === 'deny' && decision.code === 'authorization_denied') return undefined;
    const denial = denials.first();
    if (denial !== undefined) return decision.kind === 'allow' ? denial.decision : undefined;
    if (unmatched === undefined || (decision.kind === 'allow' && decision.rule !== undefined)) return undefined;
    const allowance = allowances.first()?.decision;
    if (decision.kind === 'allow') return allowance === undefined ? unmatched : undefined;
    return allowance;
  }
}
