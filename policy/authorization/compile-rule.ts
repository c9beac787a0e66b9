import type { AuthorizationRule } from '../resource/kinds/authorization-rule.ts';
import type { AuthorizationRequest } from '../workload-policy.ts';
import type { Clause } from './clause.ts';
import { compileCondition } from './compile-condition.ts';
import { compileOperation } from './compile-operation.ts';
import type { RuleScope } from './compile-principals.ts';
import { compileSource } from './compile-source.ts';

/** A rule ready to be judged. */
export interface CompiledRule {
  matches(request: AuthorizationRequest): boolean;
  /** How near a rule that does not match came to it. */
  miss(request: AuthorizationRequest): Miss;
}

export interface Miss {
  /** Clauses satisfied, of the best alternatives. */
  readonly satisfied: number;
  /** The first clause that failed, e.g. `methods: POST is not one of GET, HEAD`. */
  readonly failing: string;
}

/** Alternatives, of which one must hold with all its clauses; none: anything matches. */
type Alternatives = readonly (readonly Clause[])[];

/**
 * Compiles one rule. What needs HTTP on a connection that is not: an ALLOW rule does not match, a DENY rule is
 * judged without it, which denies more. Source: Istio, which generates its TCP filters so.
 */
export function compileRule(rule: AuthorizationRule, action: 'ALLOW' | 'DENY', scope: RuleScope): CompiledRule {
  const groups = compileGroups(rule, scope);
  const httpClause = groups.flat(2).find(({ isHttp }) => isHttp);
  const isAllow = action === 'ALLOW';

  function matches(request: AuthorizationRequest): boolean {
    const isTcp = request.method === undefined;
    if (isTcp && isAllow && httpClause !== undefined) return false;
    for (const alternatives of groups) if (!matchesOne(alternatives, request, isTcp)) return false;
    return true;
  }

  function miss(request: AuthorizationRequest): Miss {
    const isTcp = request.method === undefined;
    const parts = groups.map((alternatives) => bestAlternative(alternatives, request));
    const satisfied = parts.reduce((sum, part) => sum + part.satisfied, 0);
    if (isTcp && httpClause !== undefined)
      return { satisfied, failing: `${httpClause.field}: the connection is not HTTP` };
    return { satisfied, failing: parts.find(({ failing }) => failing !== '')?.failing ?? '' };
  }

  return { matches, miss };
}

/** from, to, and each of when; one alternative of each group must hold. */
function compileGroups(rule: AuthorizationRule, scope: RuleScope): readonly Alternatives[] {
  return [
    (rule.from ?? []).map(({ source }) => compileSource(source, scope)),
    (rule.to ?? []).map(({ operation }) => compileOperation(operation)),
    ...(rule.when ?? []).map((condition) => [compileCondition(condition, scope)]),
  ].filter((alternatives) => alternatives.length > 0);
}

/** Every clause of a rule, for analysis. */
export function compileClauses(rule: AuthorizationRule): readonly Clause[] {
  return compileGroups(rule, { namespace: '', ownDomains: [] }).flat(2);
}

function matchesOne(alternatives: Alternatives, request: AuthorizationRequest, isTcp: boolean): boolean {
  for (const clauses of alternatives) if (matchesAll(clauses, request, isTcp)) return true;
  return false;
}

function matchesAll(clauses: readonly Clause[], request: AuthorizationRequest, isTcp: boolean): boolean {
  for (const clause of clauses) {
    if (isTcp && clause.isHttp) continue; // only DENY rules come here with such a clause
    if (!clause.isSatisfied(request)) return false;
  }
  return true;
}

function bestAlternative(alternatives: Alternatives, request: AuthorizationRequest): Miss {
  let best: Miss | undefined;
  for (const clauses of alternatives) {
    const failing = clauses.filter((clause) => !clause.isSatisfied(request));
    const candidate = { satisfied: clauses.length - failing.length, failing: failing[0]?.explain(request) ?? '' };
    if (candidate.failing === '') return candidate;
    if (best === undefined || candidate.satisfied > best.satisfied) best = candidate;
  }
  return best ?? { satisfied: 0, failing: '' };
}
