/** Waits that grow with each failure, up to a bound, each a random part of it: many clients do not come back at once. */
export interface Backoff {
  next(): number;
  reset(): void;
}

export interface BackoffLimits {
  readonly firstMs: number;
  readonly longestMs: number;
}

/** Doubles at each failure; a wait is between half and the whole of it. */
export function createBackoff({ firstMs, longestMs }: BackoffLimits, random: () => number = Math.random): Backoff {
  let waitMs = firstMs;
  return {
    next() {
      const wait = waitMs * (0.5 + random() / 2);
      waitMs = Math.min(waitMs * 2, longestMs);
      return wait;
    },
    reset() {
      waitMs = firstMs;
    },
  };
}
