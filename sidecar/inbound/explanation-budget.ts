import type { AuthorizationRequest, ExplanationBudget } from '#policy/workload-policy.ts';

/** Refusals whose nearest rule a thread looks for within a second: a flood of them must cost no more than what is allowed. */
export const EXPLANATIONS_A_SECOND = 50;
/** Of these the most for one caller, so that one who is refused all the time hides nobody else's reasons. */
export const EXPLANATIONS_A_CALLER = 25;
const WINDOW_MS = 1_000;

/** Bounds what a flood of refusals may cost in explanations. */
export class SecondsBudget implements ExplanationBudget {
  readonly #now: () => number;
  /** Taken in this second, by SPIFFE ID or address: no more entries than explanations. */
  readonly #byCaller = new Map<string, number>();
  #startedAt = Number.NEGATIVE_INFINITY;
  #taken = 0;

  /** `now`: monotonic milliseconds. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  take({ source, sourceIp }: AuthorizationRequest): boolean {
    const now = this.#now();
    if (now - this.#startedAt >= WINDOW_MS) {
      this.#startedAt = now;
      this.#taken = 0;
      this.#byCaller.clear();
    }
    if (this.#taken >= EXPLANATIONS_A_SECOND) return false;
    const caller = source?.uri ?? sourceIp ?? '';
    const ofCaller = this.#byCaller.get(caller) ?? 0;
    if (ofCaller >= EXPLANATIONS_A_CALLER) return false;
    this.#byCaller.set(caller, ofCaller + 1);
    this.#taken++;
    return true;
  }
}
