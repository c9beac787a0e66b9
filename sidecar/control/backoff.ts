/** The first retry comes at once: a control plane that restarts is back soon. */
export const MIN_BACKOFF_MS = 100;
/** The longest wait, so that a control plane that is back is noticed soon. */
export const MAX_BACKOFF_MS = 5_000;
/** Part of the wait that is not random, so that retries never spin. */
const FIXED_PART = 0.25;

/** Waits that double up to a bound, each with jitter, so that a thousand sidecars do not come back as one. */
export class Backoff {
  readonly #random: () => number;
  readonly #maxMs: number;
  readonly #firstMs: number;
  #nextMs: number;

  constructor(random: () => number = Math.random, maxMs: number = MAX_BACKOFF_MS, firstMs: number = MIN_BACKOFF_MS) {
    this.#random = random;
    this.#maxMs = maxMs;
    this.#firstMs = firstMs;
    this.#nextMs = firstMs;
  }

  /** Milliseconds to wait before the next attempt. */
  next(): number {
    const capMs = this.#nextMs;
    this.#nextMs = Math.min(this.#maxMs, capMs * 2);
    return capMs * (FIXED_PART + (1 - FIXED_PART) * this.#random());
  }

  /** After a success: begins anew. */
  reset(): void {
    this.#nextMs = this.#firstMs;
  }
}
