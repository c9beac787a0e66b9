import { namespacesOf } from './covers-rule.ts';
import type { RuleClause, RuleClauses } from './rule-clauses.ts';
import { probeKeys, type ValuePattern } from './value-pattern.ts';

interface Indexed<Entry> {
  readonly entry: Entry;
  readonly clauses: RuleClauses;
}

/** The values of one attribute, by which rules are found. */
interface Values<Entry> {
  readonly byKey: Map<string, Set<Entry>>;
  readonly prefixes: Set<number>;
  readonly suffixes: Set<number>;
}

/**
 * Rules by one of their values each, the rarest: what could cover a rule is found without looking at all. Rules that demand no value
 * of anything are kept beside, in their order.
 */
export class RuleIndex<Entry> {
  readonly #values = new Map<string, Values<Entry>>();
  readonly #rest: Entry[] = [];
  /** How many rules demand each value: by these the rarest is known. */
  readonly #counts: Counts = new Map();

  private constructor() {}

  static *of<Entry>(rules: readonly Indexed<Entry>[]): Generator<void, RuleIndex<Entry>> {
    const index = new RuleIndex<Entry>();
    for (const { clauses } of rules) {
      index.#count(clauses);
      yield;
    }
    for (const { entry, clauses } of rules) {
      index.#add(entry, anchorsOf(clauses, index.#counts));
      yield;
    }
    return index;
  }

  /** One more, kept by what is rare until now. */
  add({ entry, clauses }: Indexed<Entry>): void {
    this.#count(clauses);
    this.#add(entry, anchorsOf(clauses, this.#counts));
  }

  #count({ from, to, when }: RuleClauses): void {
    for (const one of [...from.flat(), ...to.flat(), ...when]) if (!one.isNegative) count(this.#counts, one);
  }

  /** Shows those that could cover the rule, and perhaps others, some twice, until `visit` is true. */
  visitCandidates({ from, to, when }: RuleClauses, visit: (entry: Entry) => boolean): boolean {
    for (const entry of this.#rest) if (visit(entry)) return true;
    for (const clauses of [from[0] ?? [], to[0] ?? [], when]) {
      for (const one of clauses) {
        if (one.isNegative) continue;
        if (this.#visitHaving(one, visit)) return true;
        const namespaces = namespacesOf(one);
        if (namespaces !== undefined && this.#visitHaving(namespaces, visit)) return true;
      }
    }
    return false;
  }

  #visitHaving({ attribute, patterns }: RuleClause, visit: (entry: Entry) => boolean): boolean {
    const values = this.#values.get(attribute.name);
    const [first] = patterns;
    if (values === undefined || first === undefined) return false;
    for (const key of probeKeys(first, values.prefixes, values.suffixes)) {
      const entries = values.byKey.get(key);
      if (entries !== undefined) for (const entry of entries) if (visit(entry)) return true;
    }
    return false;
  }

  #add(entry: Entry, anchors: readonly RuleClause[] | undefined): void {
    if (anchors === undefined) {
      this.#rest.push(entry);
      return;
    }
    for (const { attribute, patterns } of anchors) {
      const values = this.#values.get(attribute.name) ?? { byKey: new Map(), prefixes: new Set(), suffixes: new Set() };
      this.#values.set(attribute.name, values);
      for (const { key } of patterns) {
        const found = values.byKey.get(key) ?? new Set();
        values.byKey.set(key, found.add(entry));
        if (key.startsWith('p')) values.prefixes.add(key.length - 1);
        if (key.startsWith('s')) values.suffixes.add(key.length - 1);
      }
    }
  }
}

/** One clause for each alternative of `from`, of `to`, or one of `when`: whatever the rule covers has a value within one of these. */
function anchorsOf({ from, to, when }: RuleClauses, counts: Counts) {
  const parts = [from, to, ...when.map((one) => [[one]])];
  let best: { readonly anchors: readonly RuleClause[]; readonly shared: number } | undefined;
  for (const part of parts) {
    const rarest = part.map((alternative) => rarestOf(alternative, counts));
    if (rarest.length === 0) continue;
    const anchors = rarest.flatMap((one) => one?.anchor ?? []);
    if (anchors.length < part.length) continue;
    const shared = rarest.reduce((most, one) => Math.max(most, one?.shared ?? 0), 0);
    if (best === undefined || shared < best.shared) best = { anchors, shared };
  }
  return best?.anchors;
}

function rarestOf(alternative: readonly RuleClause[], counts: Counts) {
  let best: { readonly anchor: RuleClause; readonly shared: number } | undefined;
  for (const one of alternative) {
    if (one.isNegative) continue;
    const ofAttribute = counts.get(one.attribute.name);
    const share = ({ key }: ValuePattern) => ofAttribute?.get(key) ?? 0;
    const shared = one.patterns.reduce((most, pattern) => Math.max(most, share(pattern)), 0);
    if (best === undefined || shared < best.shared) best = { anchor: one, shared };
  }
  return best;
}

/** How many rules demand each value, by attribute and key. */
type Counts = Map<string, Map<string, number>>;

function count(counts: Counts, { attribute, patterns }: RuleClause): void {
  const ofAttribute = counts.get(attribute.name) ?? new Map<string, number>();
  counts.set(attribute.name, ofAttribute);
  for (const { key } of patterns) ofAttribute.set(key, (ofAttribute.get(key) ?? 0) + 1);
}
