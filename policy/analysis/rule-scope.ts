import { MAX_COMPARED_RULES, type PlacedPolicy, type PlacedRule, placedRules, ruleText } from './placed-rules.ts';
import type { RuleClauses } from './rule-clauses.ts';
import { RuleIndex } from './rule-index.ts';

/** Scopes that are remembered from one review to the next; of more the one that was made first is forgotten. */
const MAX_REMEMBERED_SCOPES = 256;

type Policy = PlacedPolicy['policy'];
type Visit = (candidate: PlacedRule) => boolean;

/** Rules of policies that have one label of their selectors in common, or none. */
export class RuleScope {
  readonly #byText = new Map<string, PlacedRule[]>();
  readonly #index: RuleIndex<PlacedRule>;
  readonly #policies = new Set<Policy>();
  /** What is no longer there stays in the index, and is passed over; undefined: all is there. */
  #alive: ReadonlySet<Policy> | undefined;
  #rules = 0;
  readonly isCut: boolean;

  private constructor(index: RuleIndex<PlacedRule>, isCut: boolean) {
    this.#index = index;
    this.isCut = isCut;
  }

  /** Of at most so many rules, the first ones. */
  static *of(policies: readonly PlacedPolicy[], mostRules: number): Generator<void, RuleScope> {
    const rules: PlacedRule[] = [];
    let isCut = false;
    for (const placed of policies) {
      for (const rule of placedRules(placed)) {
        isCut = rules.length >= mostRules;
        if (isCut) break;
        rules.push(rule);
        yield;
      }
      if (isCut) break;
    }
    const index = yield* RuleIndex.of(rules.map((entry) => ({ entry, clauses: entry.clauses })));
    const scope = new RuleScope(index, isCut);
    for (const rule of rules) {
      scope.#note(rule);
      yield;
    }
    return scope;
  }

  /** These and no others count from now on; false: too many that are gone are in it still, or too many rules. */
  *hold(policies: readonly PlacedPolicy[]): Generator<void, boolean> {
    const alive = new Set(policies.map(({ policy }) => policy));
    let count = 0;
    for (const policy of alive) count += policy.spec.rules?.length ?? 0;
    if (this.isCut || count > MAX_COMPARED_RULES || this.#rules > 2 * count) return false;
    for (const placed of policies) {
      if (this.#policies.has(placed.policy)) continue;
      for (const rule of placedRules(placed)) {
        this.#index.add({ entry: rule, clauses: rule.clauses });
        this.#note(rule);
        yield;
      }
    }
    this.#alive = alive;
    return true;
  }

  /** Shows rules of this very text until `visit` is true. */
  visitWritten(text: string, visit: Visit): boolean {
    return this.#byText.get(text)?.some((rule) => this.#isAlive(rule) && visit(rule)) === true;
  }

  /** Shows rules that could cover one of these clauses, likewise. */
  visitLikely(clauses: RuleClauses, visit: Visit): boolean {
    return this.#index.visitCandidates(clauses, (rule) => this.#isAlive(rule) && visit(rule));
  }

  #isAlive({ policy }: PlacedRule): boolean {
    return this.#alive === undefined || this.#alive.has(policy);
  }

  #note(rule: PlacedRule): void {
    this.#policies.add(rule.policy);
    this.#rules += 1;
    const text = ruleText(rule);
    const same = this.#byText.get(text);
    if (same === undefined) this.#byText.set(text, [rule]);
    else same.push(rule);
  }
}

/** Scopes between one review and the next, as far as they were of the same policies: what is judged is never among them. */
export class ScopeMemory {
  readonly #scopes = new Map<string, RuleScope>();

  /** That of the others, and that of what is judged; undefined: too many rules to remember. */
  *scopesOf(
    key: string,
    policies: readonly PlacedPolicy[],
    judged: ReadonlySet<Policy>,
  ): Generator<void, readonly RuleScope[] | undefined> {
    const [first] = policies;
    if (first === undefined) return undefined;
    const name = `${first.policy.spec.action} ${key}`;
    const others = policies.filter(({ policy }) => !judged.has(policy));
    const own = yield* RuleScope.of(
      policies.filter(({ policy }) => judged.has(policy)),
      MAX_COMPARED_RULES,
    );
    const known = this.#scopes.get(name);
    if (known !== undefined && (yield* known.hold(others))) return [known, own];
    this.#scopes.delete(name);
    const made = yield* RuleScope.of(others, MAX_COMPARED_RULES);
    const count = policies.reduce((sum, { policy }) => sum + (policy.spec.rules?.length ?? 0), 0);
    if (made.isCut || count > MAX_COMPARED_RULES) return undefined;
    const oldest = this.#scopes.keys().next().value;
    if (this.#scopes.size >= MAX_REMEMBERED_SCOPES && oldest !== undefined) this.#scopes.delete(oldest);
    this.#scopes.set(name, made);
    return [made, own];
  }
}
