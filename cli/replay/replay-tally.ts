import { pathPattern } from './path-pattern.ts';
import type { Outcome, PassedOver, RecordedRequest } from './recorded-line.ts';
import type { Comparison } from './replayer.ts';

/** Kinds of differences that are told apart; further ones are counted together. */
export const MAX_DIFFERENCES = 1_000;
/** Missing inputs that are named. */
export const MAX_MISSING_NAMES = 100;

/** Requests that were decided otherwise in the same way. */
export interface Difference {
  readonly kind: 'newlyRefused' | 'newlyAllowed' | 'otherRule';
  count: number;
  /** SPIFFE ID; null: a caller without one. */
  readonly source: string | null;
  readonly destination: string;
  readonly port: number;
  /** Null: a TCP connection. */
  readonly method: string | null;
  /** A pattern: identifiers are `{*}`. */
  readonly path: string | null;
  /** `allow`, `deny CODE` or `audit CODE`. */
  readonly before: string;
  readonly after: string;
  /** What decides now, `NAMESPACE/NAME`; null: no policy does, or it depends on what is not recorded. */
  readonly policy: string | null;
  readonly rule: number | null;
  readonly policyBefore: string | null;
  readonly ruleBefore: number | null;
  /** Of the first of them, as is the ID of its recorded decision. */
  readonly reason: string;
  readonly decisionId: string;
}

export interface MissingInput {
  /** E.g. `header x-team`, `claim tenant`, `query`. */
  readonly input: string;
  count: number;
  readonly decisionId: string;
}

/** What a replay found; `lines` is the sum of all its counts. */
export interface ReplayReport {
  readonly lines: number;
  readonly same: number;
  readonly newlyRefused: number;
  readonly newlyAllowed: number;
  readonly otherRule: number;
  readonly undecidable: number;
  /** A request may lack several. */
  readonly missing: readonly MissingInput[];
  readonly passedOver: { readonly [reason in PassedOver]?: number };
  /** The most frequent first. */
  readonly differences: readonly Difference[];
  /** Requests of differences beyond MAX_DIFFERENCES. */
  readonly furtherDifferences: number;
}

/** Counts comparisons, in bounded memory. */
export class ReplayTally {
  readonly #counts = { same: 0, newlyRefused: 0, newlyAllowed: 0, otherRule: 0, undecidable: 0 };
  readonly #passedOver = new Map<PassedOver, number>();
  readonly #missing = new Map<string, MissingInput>();
  readonly #differences = new Map<string, Difference>();
  #lines = 0;
  #further = 0;

  get lines(): number {
    return this.#lines;
  }

  passOver(reason: PassedOver): void {
    this.#lines++;
    this.#passedOver.set(reason, (this.#passedOver.get(reason) ?? 0) + 1);
  }

  add(recorded: RecordedRequest, comparison: Comparison): void {
    this.#lines++;
    this.#counts[comparison.kind]++;
    if (comparison.kind === 'undecidable') for (const input of comparison.missing) this.#miss(input, recorded);
    else if (comparison.kind !== 'same') this.#differ(recorded, comparison);
  }

  report(): ReplayReport {
    const byCount = (one: { readonly count: number }, other: { readonly count: number }) => other.count - one.count;
    return {
      lines: this.#lines,
      ...this.#counts,
      missing: [...this.#missing.values()].sort(byCount),
      passedOver: Object.fromEntries(this.#passedOver),
      differences: [...this.#differences.values()].sort(byCount),
      furtherDifferences: this.#further,
    };
  }

  #miss(input: string, { decisionId }: RecordedRequest): void {
    const name = this.#missing.has(input) || this.#missing.size < MAX_MISSING_NAMES ? input : 'others';
    const known = this.#missing.get(name) ?? { input: name, count: 0, decisionId };
    known.count++;
    this.#missing.set(name, known);
  }

  #differ(recorded: RecordedRequest, comparison: Exclude<Comparison, { readonly kind: 'same' | 'undecidable' }>): void {
    const { source, destination, port, method, path, before, isRuleKnown, decisionId } = recorded;
    const { kind, after, reason } = comparison;
    const only = after.length === 1 ? after[0] : undefined;
    const group = {
      ...{ kind, destination, port, method },
      source: source?.uri ?? null,
      path: method === null ? null : pathPattern(path),
      before: told(before),
      after: [...new Set(after.map(told))].join(' or '),
      policy: only?.policy ?? null,
      rule: only?.rule ?? null,
      policyBefore: (isRuleKnown ? before.policy : undefined) ?? null,
      ruleBefore: (isRuleKnown ? before.rule : undefined) ?? null,
    };
    const key = JSON.stringify(group);
    const known = this.#differences.get(key);
    if (known !== undefined) known.count++;
    else if (this.#differences.size >= MAX_DIFFERENCES) this.#further++;
    else this.#differences.set(key, { ...group, count: 1, reason: reason(), decisionId });
  }
}

function told({ decision, code }: Outcome): string {
  return decision === 'allow' ? 'allow' : `${decision} ${code}`;
}
