import { LRUCache } from 'lru-cache';

/** Reviews of one address that may wait; further ones of it are refused. */
export const MAX_WAITING_OF_ADDRESS = 32;
/** Characters of all reviews that wait. Beyond, the address that has most of them loses its latest. */
export const MAX_WAITING_CHARACTERS = 32 * 1024 * 1024;
/** Longest wait for a turn, so that the API server, which waits 5 s or more, hears why. */
export const MAX_WAIT_MS = 4_000;
/** Addresses whose use of time is remembered. */
const MAX_ADDRESSES = 4_096;

/** What one address may use: `burstMs` at once, and after it `share` of the time. */
export interface TimeBudget {
  readonly burstMs: number;
  readonly share: number;
}

/** Main thread, reviews of resources: 2 s in 10 s. */
export const VALIDATION_BUDGET: TimeBudget = { burstMs: 2_000, share: 0.2 };
/** Main thread, reviews of pods: 5 s in 10 s. */
export const INJECTION_BUDGET: TimeBudget = { burstMs: 5_000, share: 0.5 };
/** The worker thread, which holds nobody else up. */
export const WORKER_BUDGET: TimeBudget = { burstMs: 20_000, share: 0.5 };

/** An address asks for more than its share; its message is for whoever asked. */
export class TooManyReviews extends Error {}

interface Turn {
  readonly characters: number;
  readonly work: () => Promise<void>;
  readonly refuse: (reason: string) => void;
  readonly deadline: NodeJS.Timeout;
}

/**
 * Does one piece of work at a time, of each address in turn, and of none that has used up its budget of time: whoever can reach
 * the port may ask, and the API server's address must not wait for what others ask.
 */
export class ReviewQueue {
  readonly #budget: TimeBudget;
  readonly #now: () => number;
  /** Addresses in the order of their turns. */
  readonly #waiting = new Map<string, Turn[]>();
  /** What each address may use, in ms, as it was at a time; a full budget where it is unknown. */
  readonly #accounts = new LRUCache<string, { readonly leftMs: number; readonly atMs: number }>({ max: MAX_ADDRESSES });
  #characters = 0;
  #isBusy = false;
  #refill: NodeJS.Timeout | undefined;

  constructor(budget: TimeBudget, now: () => number = () => performance.now()) {
    this.#budget = budget;
    this.#now = now;
  }

  /** What `work` gives, once its turn has come; the time until it has is its address's. Rejects with `TooManyReviews`. */
  run<T>(address: string, characters: number, work: () => T | Promise<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const turns = this.#waiting.get(address) ?? [];
    if (turns.length >= MAX_WAITING_OF_ADDRESS) {
      return Promise.reject(
        new TooManyReviews(`more than ${MAX_WAITING_OF_ADDRESS} reviews of ${address} wait; try again`),
      );
    }
    const turn: Turn = {
      characters,
      work: async () => {
        try {
          resolve(await work());
        } catch (error) {
          reject(error);
        }
      },
      refuse: (reason) => reject(new TooManyReviews(reason)),
      deadline: setTimeout(() => {
        this.#drop(address, turn, `no turn within ${MAX_WAIT_MS} ms: ${address} asks for too much; try again`);
      }, MAX_WAIT_MS),
    };
    turns.push(turn);
    this.#waiting.set(address, turns);
    this.#characters += characters;
    if (this.#characters > MAX_WAITING_CHARACTERS) this.#dropOfGreatest();
    void this.#next();
    return promise;
  }

  async #next(): Promise<void> {
    if (this.#isBusy) return;
    this.#isBusy = true;
    for (let address = this.#due(); address !== undefined; address = this.#due()) {
      // between two pieces of work others have their turn: heartbeats, the Lease, injection
      await new Promise((resolve) => setImmediate(resolve));
      const turn = this.#take(address);
      if (turn === undefined) continue;
      const startMs = this.#now();
      await turn.work();
      this.#charge(address, this.#now() - startMs);
    }
    this.#isBusy = false;
    this.#wake();
  }

  /** The next address that has time left. */
  #due(): string | undefined {
    for (const address of this.#waiting.keys()) if (this.#leftMs(address) > 0) return address;
    return undefined;
  }

  #take(address: string): Turn | undefined {
    const turns = this.#waiting.get(address);
    const turn = turns?.shift();
    this.#waiting.delete(address);
    if (turns === undefined || turn === undefined) return undefined;
    if (turns.length > 0) this.#waiting.set(address, turns); // behind all others
    this.#end(turn);
    return turn;
  }

  #drop(address: string, turn: Turn, reason: string): void {
    const turns = this.#waiting.get(address)?.filter((other) => other !== turn) ?? [];
    if (turns.length === 0) this.#waiting.delete(address);
    else this.#waiting.set(address, turns);
    if (this.#waiting.size === 0) clearTimeout(this.#refill);
    this.#end(turn);
    turn.refuse(reason);
  }

  #dropOfGreatest(): void {
    const sizes = [...this.#waiting].map(([address, turns]) => ({
      address,
      latest: turns.at(-1),
      characters: turns.reduce((sum, turn) => sum + turn.characters, 0),
    }));
    const greatest = sizes.reduce((left, right) => (right.characters > left.characters ? right : left));
    if (greatest.latest === undefined) return;
    const reason = `more than ${MAX_WAITING_CHARACTERS} characters wait, most of them of ${greatest.address}; try again`;
    this.#drop(greatest.address, greatest.latest, reason);
  }

  #end(turn: Turn): void {
    clearTimeout(turn.deadline);
    this.#characters -= turn.characters;
  }

  #leftMs(address: string): number {
    const { burstMs, share } = this.#budget;
    const account = this.#accounts.get(address);
    if (account === undefined) return burstMs;
    return Math.min(burstMs, account.leftMs + (this.#now() - account.atMs) * share);
  }

  #charge(address: string, ms: number): void {
    this.#accounts.set(address, { leftMs: this.#leftMs(address) - ms, atMs: this.#now() });
  }

  /** All that wait have used up their time: goes on once the first has some again. */
  #wake(): void {
    clearTimeout(this.#refill);
    if (this.#waiting.size === 0) return;
    const most = Math.max(...[...this.#waiting.keys()].map((address) => this.#leftMs(address)));
    this.#refill = setTimeout(() => void this.#next(), Math.min(MAX_WAIT_MS, Math.max(1, -most / this.#budget.share)));
  }
}
