import type { Sight } from './attribute.ts';
import { termsIn } from './build-index.ts';
import type { Clause } from './clause.ts';
import { type Bucket, IndexNode } from './index-node.ts';
import type { Rule, Term } from './term.ts';
import { lookUp } from './term-search.ts';

/** Terms that are looked at to find the one that came nearest to a match. */
export const MAX_EXPLAINED_TERMS = 64;

/** The rule that came nearest to a match. */
export interface NearestMiss {
  readonly rule: Rule;
  /** The first of its clauses that failed, e.g. `methods: POST is not one of GET, HEAD`. */
  readonly failing: string;
}

interface Distance {
  readonly term: Term;
  readonly satisfied: number;
  readonly failing: readonly Clause[];
}

/** Of terms none of which holds: those that the request's own values lead to come first, then those of the first rules. */
export function explainMiss(root: IndexNode, terms: readonly Term[], sight: Sight): NearestMiss | undefined {
  const looked = terms.length > MAX_EXPLAINED_TERMS ? nearTerms(root, terms, sight) : terms;
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

function nearTerms(root: IndexNode, terms: readonly Term[], sight: Sight): readonly Term[] {
  const found = new Set<Term>();
  gather(root, 0, sight, found);
  addAll(terms, found);
  return [...found].sort((one, other) => one.order - other.order);
}

/** Deepest first: who stands there has most in common with the request. */
function gather(bucket: Bucket, depth: number, sight: Sight, found: Set<Term>): void {
  if (bucket instanceof IndexNode) {
    const visitor = { visit: (below: Bucket) => gather(below, depth + 1, sight, found) };
    for (const table of bucket.tables) lookUp(table, sight, visitor);
  }
  if (depth > 0) addAll(termsIn(bucket), found);
}

function addAll(terms: Iterable<Term>, found: Set<Term>): void {
  for (const term of terms) {
    if (found.size >= MAX_EXPLAINED_TERMS) return;
    found.add(term);
  }
}

function distanceOf(term: Term, sight: Sight): Distance {
  const isWithoutHttp = isTcp(sight);
  const failing = term.clauses.filter((clause) => (isWithoutHttp && clause.isHttp) || !clause.isSatisfied(sight));
  return { term, satisfied: term.clauses.length - failing.length, failing };
}

/** Among the alternatives of one rule the one that lacks least, among rules the one of which most is satisfied. */
function isNearer(one: Distance, other: Distance): boolean {
  if (one.term.rule === other.term.rule && one.failing.length !== other.failing.length) {
    return one.failing.length < other.failing.length;
  }
  return one.satisfied > other.satisfied;
}

function isTcp({ request }: Sight): boolean {
  return request.method === undefined;
}
