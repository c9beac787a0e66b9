import { refusedBy } from '../../grpc/refuse-call.ts';

/** Reviews under way at a time, and those that wait for their turn; more are sent away to come again. */
export const MAX_REVIEWS = 16;
export const MAX_WAITING_REVIEWS = 1_024;
/** Longest wait for a turn: who asks has given up by then. */
export const MAX_TURN_WAIT_MS = 10_000;

/** Does so much at a time, the rest in the order in which it came. */
export class ReviewTurns {
  readonly #waiting = new Set<() => void>();
  #running = 0;

  /** Throws CallRefusal where there is no turn to be had. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= MAX_REVIEWS) await this.#turn();
    else this.#running += 1;
    try {
      return await work();
    } finally {
      const [next] = this.#waiting;
      // The next has the turn at once, or one that comes now would go before it.
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }

  #turn(): Promise<void> {
    if (this.#waiting.size >= MAX_WAITING_REVIEWS) {
      throw refusedBy('token_review_unavailable', `${MAX_WAITING_REVIEWS} tokens wait to be reviewed; come again`);
    }
    return new Promise((resolve, reject) => {
      const begin = () => {
        clearTimeout(deadline);
        this.#waiting.delete(begin);
        resolve();
      };
      const deadline = setTimeout(() => {
        this.#waiting.delete(begin);
        reject(
          refusedBy('token_review_unavailable', `the token was not reviewed within ${MAX_TURN_WAIT_MS} ms; come again`),
        );
      }, MAX_TURN_WAIT_MS);
      this.#waiting.add(begin);
    });
  }
}
