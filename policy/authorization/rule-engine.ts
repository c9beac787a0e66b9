import { finish } from '../steps/finish.ts';
import type { Steps } from '../steps/take-in-slices.ts';
import type { Sight } from './attribute.ts';
import { buildingIndex } from './build-index.ts';
import type { Doubt } from './doubt.ts';
import { explainMiss, type NearestMiss } from './explain-miss.ts';
import type { IndexNode } from './index-node.ts';
import { possibleTerms } from './possible-decisions.ts';
import type { Rule, Term } from './term.ts';
import { TermSearch } from './term-search.ts';

/** Rules in the order in which they decide, matched by one index. */
export class RuleEngine {
  readonly #terms: readonly Term[];
  readonly #allowing: readonly Term[];
  readonly #sight: Sight;
  readonly #root: IndexNode;
  readonly #http: TermSearch;
  #tcp: TermSearch | undefined;

  /** `terms`: in their order. `sight`: what all engines of one workload see the request by. `allowing`: those that a miss is told of. */
  static *of(terms: readonly Term[], sight: Sight, allowing = terms): Steps<RuleEngine> {
    return new RuleEngine(terms, sight, allowing, yield* buildingIndex(terms));
  }

  private constructor(terms: readonly Term[], sight: Sight, allowing: readonly Term[], root: IndexNode) {
    this.#sight = sight;
    this.#terms = terms;
    this.#allowing = allowing;
    this.#root = root;
    this.#http = new TermSearch(this.#root, this.#sight);
    // Most workloads never see a connection that is not HTTP: what judges those is made for the first.
    if (terms.every(({ rule }) => rule.httpField === undefined)) this.#tcp = this.#http;
  }

  /** False: there is no rule that a miss could be told of. */
  get allowsAny(): boolean {
    return this.#allowing.length > 0;
  }

  /** The first rule that matches what is in sight. */
  first(): Rule | undefined {
    if (this.#terms.length === 0) return undefined;
    const search = this.#sight.request.method === undefined ? this.#overTcp() : this.#http;
    return search.first()?.rule;
  }

  /** Each rule, once for each of its terms that stand together. */
  *rules(): Generator<Rule> {
    for (const { rule } of this.#terms) yield rule;
  }

  /** Of the rules that allow, where none matches what is in sight. */
  nearestMiss(): NearestMiss | undefined {
    return explainMiss(this.#root, this.#allowing, this.#sight);
  }

  /** Those of the rules that may match what is in sight, in their order. */
  candidates(doubt: Doubt): readonly Term[] {
    if (this.#sight.request.method !== undefined) return possibleTerms(this.#root, this.#terms, this.#sight, doubt);
    return this.#terms.flatMap((term) => term.overTcp() ?? []);
  }

  #overTcp(): TermSearch {
    if (this.#tcp !== undefined) return this.#tcp;
    const terms = this.#terms.flatMap((term) => term.overTcp() ?? []);
    this.#tcp = new TermSearch(finish(buildingIndex(terms)), this.#sight);
    return this.#tcp;
  }
}
