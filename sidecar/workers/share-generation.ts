import type { GenerateValidators } from '#policy/validation/generate-validators.ts';

/**
 * Compiles for several workers, one after the other: all ask for the same documents at the same time, the first has
 * them compiled, and the others find them in the cache behind `generate`.
 */
export function shareGeneration(generate: GenerateValidators): GenerateValidators {
  let turn: Promise<unknown> = Promise.resolve();
  return (jobs) => {
    const generated = turn.then(() => generate(jobs));
    turn = generated.catch(() => {}); // who asked hears of it
    return generated;
  };
}
