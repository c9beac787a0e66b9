/** What is known of one rule. Times are milliseconds since the epoch. */
export interface RuleUse {
  /** NAMESPACE/NAME. */
  readonly policy: string;
  /** Its number in the policy as it is now. */
  rule: number;
  readonly key: string;
  action: string;
  isOnTrial: boolean;
  /** Of all sidecars. */
  matches: number;
  lastMatchedMs: number | undefined;
  /** Since when it is in force, as far as is known. */
  sinceMs: number;
  /** Of these all replicas know, as far as they share what they count. */
  shared: SharedMatches;
}

export interface SharedMatches {
  readonly matches: number;
  readonly lastMatchedMs: number | undefined;
}

export const NOT_SHARED: SharedMatches = { matches: 0, lastMatchedMs: undefined };
