import { LRUCache } from 'lru-cache';

export interface AllowanceLimits {
  /** What one may do at once. */
  readonly burst: number;
  /** One more is allowed each time that this has passed. */
  readonly intervalMs: number;
  /** How many callers are remembered; one that is forgotten may do all of it again. */
  readonly callers: number;
}

/** How often each caller may yet do something. */
export class Allowance {
  readonly #limits: AllowanceLimits;
  readonly #now: () => number;
  /** What is left, as it was at a time; all of it where a caller is unknown. */
  readonly #accounts: LRUCache<string, { readonly left: number; readonly atMs: number }>;

  /** `now`: of a clock that never goes back. */
  constructor(limits: AllowanceLimits, now: () => number) {
    this.#limits = limits;
    this.#now = now;
    this.#accounts = new LRUCache({ max: limits.callers });
  }

  /** False: there is none left. */
  take(caller: string): boolean {
    const left = this.#left(caller);
    if (left < 1) return false;
    this.#accounts.set(caller, { left: left - 1, atMs: this.#now() });
    return true;
  }

  giveBack(caller: string): void {
    const left = Math.min(this.#limits.burst, this.#left(caller) + 1);
    this.#accounts.set(caller, { left, atMs: this.#now() });
  }

  #left(caller: string): number {
    const { burst, intervalMs } = this.#limits;
    const account = this.#accounts.get(caller);
    if (account === undefined) return burst;
    return Math.min(burst, account.left + (this.#now() - account.atMs) / intervalMs);
  }
}
