import type { AuthorizationRequest } from '../workload-policy.ts';
import { Sight } from './attribute.ts';
import { buildIndex } from './build-index.ts';
import type { ConditionFault } from './condition-clause.ts';
import { explainMiss, type NearestMiss } from './explain-miss.ts';
import type { IndexNode } from './index-node.ts';
import type { Rule, Term } from './term.ts';
import { TermSearch } from './term-search.ts';

/** The rules of one action, each matched by an index. */
export class RuleEngine {
  readonly #terms: readonly Term[];
  readonly #sight = new Sight();
  readonly #root: IndexNode;
  readonly #http: TermSearch;
  #tcp: TermSearch | undefined;

  /** `terms`: in their order. */
  constructor(terms: readonly Term[]) {
    this.#terms = terms;
    this.#root = buildIndex(terms);
    this.#http = new TermSearch(this.#root, this.#sight);
    // Most workloads never see a connection that is not HTTP: what judges those is made for the first.
    if (terms.every(({ rule }) => rule.httpField === undefined)) this.#tcp = this.#http;
  }

  /** The first rule that matches. */
  first(request: AuthorizationRequest): Rule | undefined {
    if (this.#terms.length === 0) return undefined;
    this.#sight.begin(request);
    return (request.method === undefined ? this.#overTcp() : this.#http).first()?.rule;
  }

  /** Of the conditions that could not be judged for the request that was asked about last, that of the first rule. */
  get fault(): ConditionFault | undefined {
    let first: ConditionFault | undefined;
    for (const fault of this.#sight.faults) {
      if (first === undefined || fault.place.order < first.place.order) first = fault;
    }
    return first;
  }

  /** For a request that no rule matched. */
  nearestMiss(request: AuthorizationRequest): NearestMiss | undefined {
    this.#sight.begin(request);
    return explainMiss(this.#root, this.#terms, this.#sight);
  }

  #overTcp(): TermSearch {
    this.#tcp ??= new TermSearch(buildIndex(this.#terms.flatMap((term) => term.overTcp() ?? [])), this.#sight);
    return this.#tcp;
  }
}
