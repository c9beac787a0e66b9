import type { AuthorizationDecision } from '../workload-policy.ts';
import type { Sight } from './attribute.ts';
import type { Clause } from './clause.ts';
import type { CompiledRule } from './compile-rule.ts';
import type { RuleTally } from './rule-tallies.ts';

/** Pairs of one `from` and one `to` that a rule is dealt out into; beyond it the shorter of the two stays one clause. */
const MAX_PAIRS = 64;

/** A rule of a policy, with the decision that its match means, made when it first decides. */
export class Rule {
  /** NAMESPACE/NAME. */
  readonly policy: string;
  readonly index: number;
  readonly action: 'ALLOW' | 'DENY' | 'AUDIT' | 'CUSTOM';
  /** The first field of it that only HTTP has; undefined: none is. */
  readonly httpField: string | undefined;
  readonly tally: RuleTally;
  #decision: AuthorizationDecision | undefined;

  constructor(
    policy: string,
    index: number,
    action: Rule['action'],
    httpField: string | undefined,
    tally: RuleTally = { policy, rule: index, key: '', matches: 0, told: 0 },
  ) {
    this.tally = tally;
    this.policy = policy;
    this.index = index;
    this.action = action;
    this.httpField = httpField;
  }

  get decision(): AuthorizationDecision {
    this.#decision ??= this.#made();
    return this.#decision;
  }

  #made(): AuthorizationDecision {
    const { policy, index: rule, action } = this;
    const reason = `rule ${rule} of ${action} policy ${policy} matched`;
    if (action !== 'DENY') return { kind: 'allow', policy, rule, reason };
    return { kind: 'deny', code: 'authorization_denied', policy, rule, reason };
  }
}

/** Clauses that must all hold for a rule to match; it has one term for each pair of `from` and `to`. */
export class Term {
  /** The same for all terms of one rule; the smallest decides. */
  readonly order: number;
  readonly rule: Rule;
  readonly clauses: readonly Clause[];

  constructor(order: number, rule: Rule, clauses: readonly Clause[]) {
    this.order = order;
    this.rule = rule;
    this.clauses = clauses;
  }

  holds(sight: Sight): boolean {
    for (const clause of this.clauses) if (!clause.isSatisfied(sight)) return false;
    return true;
  }

  /** As a connection that is not HTTP sees it; undefined: it says nothing to one. */
  overTcp(): Term | undefined {
    if (this.rule.httpField === undefined) return this;
    if (this.rule.action === 'ALLOW') return undefined;
    return new Term(this.order, this.rule, withoutHttp(this.clauses));
  }
}

/** One of the alternatives must hold with all its clauses. */
export class AnyOfClause implements Clause {
  readonly field: string;
  readonly isHttp: boolean;
  readonly alternatives: readonly (readonly Clause[])[];

  constructor(alternatives: readonly (readonly Clause[])[]) {
    this.alternatives = alternatives;
    const clauses = alternatives.flat();
    this.field = (clauses.find(({ isHttp }) => isHttp) ?? clauses[0])?.field ?? '';
    this.isHttp = alternatives.some((clauses) => clauses.some(({ isHttp }) => isHttp));
  }

  isSatisfied(sight: Sight): boolean {
    for (const clauses of this.alternatives) {
      if (clauses.every((clause) => clause.isSatisfied(sight))) return true;
    }
    return false;
  }

  explain(sight: Sight): string {
    const failing = this.alternatives[0]?.find((clause) => !clause.isSatisfied(sight));
    return `none of ${this.alternatives.length} alternatives; the first by ${failing?.explain(sight) ?? ''}`;
  }
}

/** The terms of a rule, in its order. */
export function termsOf({ from, to, when }: CompiledRule, order: number, rule: Rule): readonly Term[] {
  const sources = from.length === 0 ? [[]] : from;
  const operations = to.length === 0 ? [[]] : to;
  const term = (source: readonly Clause[], operation: readonly Clause[]) =>
    new Term(order, rule, [...source, ...operation, ...when]);
  if (sources.length * operations.length <= MAX_PAIRS) {
    return sources.flatMap((source) => operations.map((operation) => term(source, operation)));
  }
  if (sources.length > operations.length) {
    const any = operations.length === 1 ? (operations[0] ?? []) : [new AnyOfClause(operations)];
    return sources.map((source) => term(source, any));
  }
  const any = sources.length === 1 ? (sources[0] ?? []) : [new AnyOfClause(sources)];
  return operations.map((operation) => term(any, operation));
}

/** What needs HTTP is left out, which makes more match. Source: Istio, of all actions but ALLOW. */
function withoutHttp(clauses: readonly Clause[]): readonly Clause[] {
  return clauses.flatMap((clause) => {
    if (!clause.isHttp) return [clause];
    if (!(clause instanceof AnyOfClause)) return [];
    const alternatives = clause.alternatives.map(withoutHttp);
    return alternatives.some(({ length }) => length === 0) ? [] : [new AnyOfClause(alternatives)];
  });
}
