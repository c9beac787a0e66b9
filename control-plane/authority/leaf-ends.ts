/** Parts of a leaf's life by which the mark is ahead of what was signed: so often is it stored. */
const MARKS_OF_LIFE = 48;
/** Not more often, however short they live. */
const MIN_STEP_MS = 1_000;

/**
 * How long leaves that were signed are good, at the most, as a mark that is stored: coarsely, and ahead of what is signed, so that it
 * holds also where the last storing of it failed.
 */
export class LeafEnds {
  readonly #stepMs: number;
  readonly #store: (markMs: number) => void;
  #markMs = 0;

  constructor(leafLifetimeMs: number, store: (markMs: number) => void) {
    this.#stepMs = Math.max(MIN_STEP_MS, Math.ceil(leafLifetimeMs / MARKS_OF_LIFE));
    this.#store = store;
  }

  /** What is stored; of an earlier time it counts no less. */
  known(markMs: number | undefined): void {
    this.#markMs = Math.max(this.#markMs, markMs ?? 0);
  }

  /** A leaf was signed. */
  signed(expiresAtMs: number): void {
    if (expiresAtMs + this.#stepMs <= this.#markMs) return;
    this.#markMs = expiresAtMs + 2 * this.#stepMs;
    this.#store(this.#markMs);
  }
}
