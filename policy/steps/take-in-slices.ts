/** What is done in steps of well under a millisecond, by whoever has others waiting. */
export type Steps<Result> = Generator<void, Result>;

/** Takes steps to their end. */
export type TakeSteps = <Result>(steps: Steps<Result>) => Promise<Result>;

export interface SliceClock {
  /** Milliseconds of a clock that only goes on. */
  now(): number;
  /** Resolves once others have had their turn. */
  others(): Promise<void>;
}

/** What steps come to, with others having their turn after each `sliceMs`; the last step of a slice is taken to its end. */
export async function takeInSlices<Result>(steps: Steps<Result>, sliceMs: number, clock: SliceClock): Promise<Result> {
  for (;;) {
    const end = clock.now() + sliceMs;
    do {
      const step = steps.next();
      if (step.done === true) return step.value;
    } while (clock.now() < end);
    await clock.others();
  }
}
