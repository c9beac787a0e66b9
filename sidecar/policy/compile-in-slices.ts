import { performance } from 'node:perf_hooks';
import { setImmediate as others } from 'node:timers/promises';
import { type Steps, takeInSlices } from '#policy/steps/take-in-slices.ts';

/** Longest time for which a new version of the law is compiled while requests wait. */
export const COMPILE_SLICE_MS = 3;

/** What steps come to, with requests served between slices of them. */
export function compileInSlices<Result>(steps: Steps<Result>): Promise<Result> {
  return takeInSlices(steps, COMPILE_SLICE_MS, { now: () => performance.now(), others });
}
