import { ENHANCE_YOUR_CALM } from './frame.ts';
import { Http2Error } from './http2-error.ts';

/**
 * What a peer may make us do for nothing: frames that cost us work and move no request on. Each kind of event costs;
 * the allowance grows again with time.
 */
export const FLOOD_ALLOWANCE = 8_192;
/** Cost that is forgiven a second. */
export const FLOOD_REFILL_PER_SECOND = 1_000;

/** Cost of one event. */
export const FLOOD_COSTS = {
  /**
   * A request taken back before its answer was complete (CVE-2023-44487), or one that made us take it back (CVE-2025-8671).
   * The allowance covers all streams of a connection twice over: a common deadline may end them at once.
   */
  reset: 1,
  ping: 4,
  settings: 40,
  /** DATA without a byte and without an end. */
  emptyData: 4,
  /** PRIORITY, and frames of unknown types. */
  ignored: 2,
  windowUpdate: 2,
  /** One of the pieces of a header block behind the first. */
  continuation: 16,
  refused: 1,
} as const;

/** Tells a flood from use (RFC 9113 §10.5): a bucket of allowance, the clock passed in. */
export class FloodGuard {
  #allowance = FLOOD_ALLOWANCE;
  /** Monotonic ms; undefined: nothing was ever taken. */
  #refilledAt: number | undefined;

  /** Takes the cost of an event; throws Http2Error ENHANCE_YOUR_CALM when the peer has none left. */
  note(event: keyof typeof FLOOD_COSTS, now: number): void {
    this.#refilledAt ??= now;
    this.#allowance -= FLOOD_COSTS[event];
    if (this.#allowance >= 0) return;
    const earned = ((now - this.#refilledAt) / 1_000) * FLOOD_REFILL_PER_SECOND;
    this.#refilledAt = now;
    this.#allowance = Math.min(FLOOD_ALLOWANCE, this.#allowance + earned);
    if (this.#allowance < 0) {
      throw new Http2Error(
        ENHANCE_YOUR_CALM,
        `too many events that move no request on, the last a ${event} (floodAllowance ${FLOOD_ALLOWANCE}, ${FLOOD_REFILL_PER_SECOND} a second)`,
      );
    }
  }

  /** Work was done for the peer, at its wish: window updates that go with it are no flood. */
  forgive(cost: number): void {
    this.#allowance = Math.min(FLOOD_ALLOWANCE, this.#allowance + cost);
  }
}
