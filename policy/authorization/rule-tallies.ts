/** How often one rule of a policy in force decided, or would have (AUDIT, on trial). */
export interface RuleTally {
  /** NAMESPACE/NAME. */
  readonly policy: string;
  /** Its number in the version that was compiled last. */
  rule: number;
  /** As `ruleKeys` makes it. */
  readonly key: string;
  matches: number;
  /** Of these, those that `take` has told. */
  told: number;
}

/** What is to be told of one rule. */
export interface RuleMatches {
  readonly policy: string;
  readonly rule: number;
  readonly key: string;
  /** Since it was told last. */
  readonly matches: number;
}

/**
 * Matches by rule, counted over the versions of the law: a rule of the same policy and content goes on with the tally it had, also
 * for requests that end under an earlier version. What one match costs is an addition.
 */
export class RuleTallies {
  #byRule = new Map<string, RuleTally>();
  /** No longer in force, with matches that were not told yet. */
  #left: RuleTally[] = [];
  #inForce: readonly RuleTally[] = [];
  /** Where `take` goes on, so that those behind a full report come next. */
  #next = 0;

  /** The tally of a rule for a version that is being compiled. */
  tallyOf(policy: string, rule: number, key: string): RuleTally {
    return this.#byRule.get(`${policy} ${key}`) ?? { policy, rule, key, matches: 0, told: 0 };
  }

  /** A version has come in force, with these rules; others are forgotten once they are told. */
  putInForce(rules: readonly { readonly tally: RuleTally; readonly index: number }[]): void {
    const byRule = new Map<string, RuleTally>();
    for (const { tally, index } of rules) {
      tally.rule = index;
      byRule.set(`${tally.policy} ${tally.key}`, tally);
    }
    for (const [name, tally] of this.#byRule) {
      if (!byRule.has(name)) this.#left.push(tally);
    }
    this.#left = this.#left.filter(({ matches, told }) => matches > told);
    this.#byRule = byRule;
    this.#inForce = [...byRule.values()];
    this.#next = 0;
  }

  /** Of the rules in force, in the order of policies. */
  get inForce(): readonly RuleTally[] {
    return this.#inForce;
  }

  get hasUntold(): boolean {
    const isUntold = ({ matches, told }: RuleTally) => matches > told;
    return this.#left.some(isUntold) || this.#inForce.some(isUntold);
  }

  /** What was not told yet, of at most so many rules. */
  take(most: number): RuleMatches[] {
    const taken: RuleMatches[] = [];
    while (this.#left.length > 0 && taken.length < most) tell(this.#left.pop(), taken);
    const count = this.#inForce.length;
    for (let looked = 0; looked < count && taken.length < most; looked++) {
      tell(this.#inForce[this.#next], taken);
      this.#next = (this.#next + 1) % count;
    }
    return taken;
  }
}

function tell(tally: RuleTally | undefined, taken: RuleMatches[]): void {
  if (tally === undefined || tally.matches === tally.told) return;
  const { policy, rule, key, matches, told } = tally;
  tally.told = matches;
  taken.push({ policy, rule, key, matches: matches - told });
}
