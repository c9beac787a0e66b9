import type { AuthorizationDecision } from '../workload-policy.ts';
import type { Sight } from './attribute.ts';
import { termsIn } from './build-index.ts';
import { type Clause, PositiveClause, ValueClause } from './clause.ts';
import { ConditionClause, type ConditionFault, unjudged } from './condition-clause.ts';
import type { Doubt } from './doubt.ts';
import { type Bucket, IndexNode } from './index-node.ts';
import { AnyOfClause, type Rule, type Term } from './term.ts';
import { lookUp } from './term-search.ts';

/** Decisions that are told apart where several are possible; of more, those of the first rules. */
export const MAX_POSSIBLE_DECISIONS = 64;

/** What an authorizer decides by. */
export interface JudgedBy {
  readonly sight: Sight;
  /** Those that may hold, in their order: of DENY, then of ALLOW. */
  readonly terms: readonly Term[];
  readonly unmatched: AuthorizationDecision;
}

/**
 * Every decision that what is in sight may have, whatever the unknown is: each clause that looks at anything unknown may hold or not. One
 * alone is certain. It may be more than there are, for clauses are taken as independent of each other; never fewer kinds.
 */
export function possibleDecisions(by: JudgedBy, doubt: Doubt): readonly AuthorizationDecision[] {
  const found = new Found();
  if (gatherDenials(by, doubt, found)) return found.decisions;
  gatherAllowances(by, doubt, found);
  return found.decisions;
}

/** The first rule that may match what is in sight, and whether one does for certain; undefined: none may. */
export function possibleMatch(
  terms: readonly Term[],
  sight: Sight,
  doubt: Doubt,
): { readonly rule: Rule; readonly isCertain: boolean } | undefined {
  let first: Rule | undefined;
  for (const term of terms) {
    const { verdict } = judgeTerm(term, sight, doubt);
    if (verdict === false) continue;
    first ??= term.rule;
    if (verdict === true) return { rule: first, isCertain: true };
  }
  return first === undefined ? undefined : { rule: first, isCertain: false };
}

/** True: one of them is certain. */
function gatherDenials({ sight, terms }: JudgedBy, doubt: Doubt, found: Found): boolean {
  for (const term of terms) {
    if (term.rule.action !== 'DENY') break;
    const { verdict, fault, isDoubtful } = judgeTerm(term, sight, doubt);
    if (verdict === false) continue;
    found.add(fault === undefined ? term.rule.decision : unjudged(fault));
    if (isDoubtful) found.add(unjudged(possibleFault(term)));
    if (verdict === true) return true;
  }
  return false;
}

function gatherAllowances({ sight, terms, unmatched }: JudgedBy, doubt: Doubt, found: Found): void {
  let otherwise = unmatched;
  let isFaulty = false;
  for (const term of terms) {
    if (term.rule.action === 'DENY') continue;
    const { verdict, fault, isDoubtful, isFaultCertain } = judgeTerm(term, sight, doubt);
    if (verdict !== false) found.add(term.rule.decision);
    if (verdict === true) return;
    if (isFaulty) continue;
    if (fault !== undefined && isFaultCertain) otherwise = unjudged(fault);
    else if (fault !== undefined) found.add(unjudged(fault));
    else if (isDoubtful) found.add(unjudged(possibleFault(term)));
    isFaulty = fault !== undefined && isFaultCertain;
  }
  found.add(otherwise);
}

/** Each once; the first refusal and the first permission are always among them. */
class Found {
  readonly decisions: AuthorizationDecision[] = [];
  readonly #kinds = new Set<string>();

  add(decision: AuthorizationDecision): void {
    const isNewKind = !this.#kinds.has(decision.kind);
    if (!isNewKind && this.decisions.length >= MAX_POSSIBLE_DECISIONS) return;
    if (this.decisions.some((one) => isSame(one, decision))) return;
    this.#kinds.add(decision.kind);
    this.decisions.push(decision);
  }
}

function isSame(one: AuthorizationDecision, other: AuthorizationDecision): boolean {
  const [code, otherCode] = [one, other].map((each) => (each.kind === 'deny' ? each.code : undefined));
  return one.kind === other.kind && code === otherCode && one.policy === other.policy && one.rule === other.rule;
}

interface TermVerdict {
  /** Undefined: it may hold. */
  readonly verdict: boolean | undefined;
  /** Of its condition, where that is known to have one. */
  readonly fault: ConditionFault | undefined;
  /** All else of the term holds. */
  readonly isFaultCertain: boolean;
  /** Its condition may have one. */
  readonly isDoubtful: boolean;
}

function judgeTerm({ clauses }: Term, sight: Sight, doubt: Doubt): TermVerdict {
  let verdict: boolean | undefined = true;
  const faultsBefore = sight.faults.length;
  let isFaultCertain = true;
  let isDoubtful = false;
  for (const clause of clauses) {
    isFaultCertain = verdict === true; // conditions come last
    const one = judgeClause(clause, sight, doubt);
    if (one === undefined && clause instanceof ConditionClause) isDoubtful = true;
    if (one !== true) verdict = one;
    if (one === false) break;
  }
  return { verdict, fault: sight.faults[faultsBefore], isFaultCertain, isDoubtful };
}

/** Undefined: it may be satisfied. */
function judgeClause(clause: Clause, sight: Sight, doubt: Doubt): boolean | undefined {
  if (clause instanceof AnyOfClause) return judgeAlternatives(clause, sight, doubt);
  if (clause instanceof ConditionClause) return clause.isCertain(doubt) ? clause.isSatisfied(sight) : undefined;
  if (!(clause instanceof ValueClause)) return undefined;
  const certainty = clause.attribute.certainty?.(doubt) ?? 'known';
  if (certainty === 'known') return clause.isSatisfied(sight);
  if (certainty === 'withheld' && clause.isOfPresence) return clause instanceof PositiveClause;
  return undefined;
}

function judgeAlternatives({ alternatives }: AnyOfClause, sight: Sight, doubt: Doubt): boolean | undefined {
  let isPossible = false;
  for (const clauses of alternatives) {
    const verdicts = clauses.map((clause) => judgeClause(clause, sight, doubt));
    if (verdicts.includes(false)) continue;
    if (!verdicts.includes(undefined)) return true;
    isPossible = true;
  }
  return isPossible ? undefined : false;
}

function possibleFault({ rule, order }: Term): ConditionFault {
  const { policy, index, action } = rule;
  return { place: { policy, rule: index, order, action }, error: 'what it looks at is not known' };
}

/** Those of the terms that may hold, in their order: by the index where it asks for what is known, all others where it does not. */
export function possibleTerms(root: IndexNode, terms: readonly Term[], sight: Sight, doubt: Doubt): readonly Term[] {
  const isKnown = ({ tables }: IndexNode) =>
    tables.every(({ attribute }) => (attribute.certainty?.(doubt) ?? 'known') === 'known');
  if (!isKnown(root)) return terms;
  const found = new Set<Term>();
  const visitor = { visit: gather };
  function gather(bucket: Bucket): void {
    if (!(bucket instanceof IndexNode)) {
      for (const term of termsIn(bucket)) found.add(term);
      return;
    }
    if (!isKnown(bucket)) {
      for (const term of termsIn(bucket)) found.add(term);
      return;
    }
    for (const term of bucket.rest) found.add(term);
    for (const table of bucket.tables) lookUp(table, sight, visitor);
  }
  gather(root);
  return [...found].sort((one, other) => one.order - other.order);
}
