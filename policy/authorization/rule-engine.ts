import type { Sight } from './attribute.ts';
import { buildIndex } from './build-index.ts';
import { explainMiss, type NearestMiss } from './explain-miss.ts';
import type { IndexNode } from './index-node.ts';
import type { Rule, Term } from './term.ts';
import { TermSearch } from './term-search.ts';

/** The rules of one action, each matched by an index. */
export class RuleEngine {
  readonly #terms: readonly Term[];
  readonly #sight: Sight;
  readonly #root: IndexNode;
  readonly #http: TermSearch;
  #tcp: TermSearch | undefined;

  /** `terms`: in their order. `sight`: what all engines of one workload see the request by. */
  constructor(terms: readonly Term[], sight: Sight) {
    this.#sight = sight;
    this.#terms = terms;
    this.#root = buildIndex(terms);
    this.#http = new TermSearch(this.#root, this.#sight);
    // Most workloads never see a connection that is not HTTP: what judges those is made for the first.
    if (terms.every(({ rule }) => rule.httpField === undefined)) this.#tcp = this.#http;
  }

  /** The first rule that matches what is in sight. */
  first(): Rule | undefined {
    if (this.#terms.length === 0) return undefined;
    const search = this.#sight.request.method === undefined ? this.#overTcp() : this.#http;
    return search.first()?.rule;
  }

  /** Where no rule matches what is in sight. */
  nearestMiss(): NearestMiss | undefined {
    return explainMiss(this.#root, this.#terms, this.#sight);
  }

  #overTcp(): TermSearch {
    this.#tcp ??= new TermSearch(buildIndex(this.#terms.flatMap((term) => term.overTcp() ?? [])), this.#sight);
    return this.#tcp;
  }
}
