/** Certificates that are signed in one turn of the event loop; each takes about a millisecond. */
const SIGNINGS_A_TURN = 4;

/**
 * Spreads the work of signing over turns of the event loop: when thousands of sidecars renew at once, policies are pushed and heartbeats
 * answered in between. Who waits is bounded by the calls that connections may have open.
 */
export class SigningTurns {
  readonly #waiting: (() => void)[] = [];
  #next = 0;

  /** Resolves when it is this caller's turn; at once where there is no crowd. */
  take(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      if (this.#waiting.length === 1) setImmediate(() => this.#go());
    });
  }

  #go(): void {
    const end = Math.min(this.#next + SIGNINGS_A_TURN, this.#waiting.length);
    while (this.#next < end) this.#waiting[this.#next++]?.();
    if (this.#next < this.#waiting.length) {
      setImmediate(() => this.#go());
      return;
    }
    this.#waiting.length = 0;
    this.#next = 0;
  }
}
