import { wait } from './wait.ts';

/**
 * Two clocks, since neither is right for all: the wall clock says when certificates end, and may be set by hours; the monotonic one
 * measures silence and intervals, and stands still while a machine is suspended.
 */
export interface Clocks {
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Milliseconds since any moment. */
  readonly monotonicNow: () => number;
}

/** A clock is set, or a machine wakes up, without a word: the wall clock is looked at this often. */
export const CLOCK_CHECK_INTERVAL_MS = 1_000;

/**
 * Resolves within CLOCK_CHECK_INTERVAL_MS of the time that `dueMs` gives, which may change meanwhile; also once as much time has passed as
 * was missing at first, should the wall clock have been set back; or when the signal is or becomes aborted.
 */
export async function waitUntil(
  dueMs: () => number,
  { now, monotonicNow }: Clocks,
  signal: AbortSignal,
): Promise<void> {
  const dueByMonotonicMs = monotonicNow() + dueMs() - now();
  while (!signal.aborted) {
    const restMs = Math.min(dueMs() - now(), dueByMonotonicMs - monotonicNow());
    if (restMs <= 0) return;
    await wait(Math.min(restMs, CLOCK_CHECK_INTERVAL_MS), signal);
  }
}
