import type { AuthorizationDecision } from '../workload-policy.ts';
import type { Sight } from './attribute.ts';
import { termsIn } from './build-index.ts';
import type { Clause } from './clause.ts';
import { type Bucket, IndexNode } from './index-node.ts';
import type { Rule, Term } from './term.ts';
import { lookUp } from './term-search.ts';

/** Terms that are looked at to find the one that came nearest to a match. */
export const MAX_EXPLAINED_TERMS = 64;
/** Terms that are come by meanwhile, those of DENY rules among them, which a request need not match. */
const MAX_VISITED_TERMS = 1_024;

/** The rule that came nearest to a match. */
export interface NearestMiss {
  readonly rule: Rule;
  /** The first of its clauses that failed, e.g. `methods: POST is not one of GET, HEAD`. */
  readonly failing: string;
}

/** The decision that nothing matched, with the rule that came nearest. */
export function withNearestMiss(decision: AuthorizationDecision, miss: NearestMiss | undefined): AuthorizationDecision {
  if (miss === undefined) return decision;
  const { policy, index } = miss.rule;
  const reason = `${decision.reason}; nearest ${policy} rule ${index}: ${miss.failing}`;
  return { ...decision, policy, rule: index, reason };
}

interface Distance {
  readonly term: Term;
  readonly satisfied: number;
  readonly failing: readonly Clause[];
  /** Its paths are among what is satisfied. */
  readonly isOfPath: boolean;
}

/** Of terms none of which holds: those that the request's own values lead to come first, then those of the first rules. */
export function explainMiss(root: IndexNode, terms: readonly Term[], sight: Sight): NearestMiss | undefined {
  const looked = new NearTerms(sight).of(root, terms);
  let nearest: Distance | undefined;
  for (const term of looked) {
    const distance = distanceOf(term, sight);
    if (nearest === undefined || isNearer(distance, nearest)) nearest = distance;
  }
  if (nearest === undefined) return undefined;
  const { failing, term } = nearest;
  const { httpField } = term.rule;
  // An ALLOW rule that says anything of HTTP says nothing of other connections, whichever of its alternatives do not.
  if (isTcp(sight) && httpField !== undefined) {
    return { rule: term.rule, failing: `${httpField}: the connection is not HTTP` };
  }
  return { rule: term.rule, failing: failing[0]?.explain(sight) ?? '' };
}

class NearTerms {
  readonly #sight: Sight;
  readonly #found = new Set<Term>();
  #visitsLeft = MAX_VISITED_TERMS;

  constructor(sight: Sight) {
    this.#sight = sight;
  }

  of(root: IndexNode, terms: readonly Term[]): readonly Term[] {
    if (terms.length > MAX_EXPLAINED_TERMS) this.#gather(root, 0);
    this.#addAll(terms);
    return [...this.#found].sort((one, other) => one.order - other.order);
  }

  /** Deepest first: who stands there has most in common with the request. */
  #gather(bucket: Bucket, depth: number): void {
    if (bucket instanceof IndexNode) {
      const visitor = { visit: (below: Bucket) => this.#gather(below, depth + 1) };
      for (const table of bucket.tables) lookUp(table, this.#sight, visitor);
    }
    if (depth > 0) this.#addAll(termsIn(bucket));
  }

  #addAll(terms: Iterable<Term>): void {
    for (const term of terms) {
      if (this.#found.size >= MAX_EXPLAINED_TERMS || this.#visitsLeft-- <= 0) return;
      if (term.rule.action !== 'DENY') this.#found.add(term);
    }
  }
}

function distanceOf(term: Term, sight: Sight): Distance {
  const isWithoutHttp = isTcp(sight);
  const failing = term.clauses.filter((clause) => (isWithoutHttp && clause.isHttp) || !clause.isSatisfied(sight));
  const isOfPath = term.clauses.some((clause) => clause.field === 'paths' && !failing.includes(clause));
  return { term, satisfied: term.clauses.length - failing.length, failing, isOfPath };
}

/**
 * Among the alternatives of one rule the one that lacks least, among rules the one of which most is satisfied: of several, one that is about
 * the path, since that is what people look for a rule by.
 */
function isNearer(one: Distance, other: Distance): boolean {
  if (one.term.rule === other.term.rule && one.failing.length !== other.failing.length) {
    return one.failing.length < other.failing.length;
  }
  if (one.satisfied !== other.satisfied) return one.satisfied > other.satisfied;
  return one.isOfPath && !other.isOfPath;
}

function isTcp({ request }: Sight): boolean {
  return request.method === undefined;
}
