import { performance } from 'node:perf_hooks';
import { setImmediate as others } from 'node:timers/promises';
import { type Steps, takeInSlices } from '#policy/steps/take-in-slices.ts';

/** Longest time for which steps go on while others wait. */
export const SLICE_MS = 10;

/** What steps come to, with the event loop free between slices of them. */
export function runInSlices<Result>(steps: Steps<Result>): Promise<Result> {
  return takeInSlices(steps, SLICE_MS, { now: () => performance.now(), others });
}
