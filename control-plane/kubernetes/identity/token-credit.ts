import { LRUCache } from 'lru-cache';

/** Tokens of one address that may be under review or have proven nothing of late. */
export const MAX_TOKENS_OF_ADDRESS = 64;
/** One more is let go of each time that this has passed. */
export const CREDIT_INTERVAL_MS = 3_000;
/** Addresses that are remembered. */
const MAX_ADDRESSES = 4_096;

/** How many tokens an address may yet present: those that prove something cost it nothing. */
export class TokenCredit {
  readonly #now: () => number;
  /** What is left, as it was at a time; all of it where an address is unknown. */
  readonly #accounts = new LRUCache<string, { readonly left: number; readonly atMs: number }>({ max: MAX_ADDRESSES });

  constructor(now: () => number) {
    this.#now = now;
  }

  /** False: there is none left. */
  take(address: string): boolean {
    const left = this.#left(address);
    if (left < 1) return false;
    this.#accounts.set(address, { left: left - 1, atMs: this.#now() });
    return true;
  }

  giveBack(address: string): void {
    this.#accounts.set(address, { left: Math.min(MAX_TOKENS_OF_ADDRESS, this.#left(address) + 1), atMs: this.#now() });
  }

  #left(address: string): number {
    const account = this.#accounts.get(address);
    if (account === undefined) return MAX_TOKENS_OF_ADDRESS;
    return Math.min(MAX_TOKENS_OF_ADDRESS, account.left + (this.#now() - account.atMs) / CREDIT_INTERVAL_MS);
  }
}
