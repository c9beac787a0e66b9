import { performance } from 'node:perf_hooks';
import { setImmediate as others } from 'node:timers/promises';

/** Longest time for which steps go on while others wait; the last step is taken to its end. */
export const SLICE_MS = 10;

/** What steps come to, with the event loop free between slices of them. */
export async function runInSlices<Result>(steps: Generator<void, Result>): Promise<Result> {
  for (;;) {
    const end = performance.now() + SLICE_MS;
    do {
      const step = steps.next();
      if (step.done === true) return step.value;
    } while (performance.now() < end);
    await others();
  }
}
