/** In place of a load: the pair failed before any. */
export const AT_THE_START = 'start';

/** What one run or the median of several gave, by name; the name says the unit. */
export interface Figures {
  readonly [figure: string]: number;
}

/** One pair under one load. `figures` are medians over the rounds; `errors` is their sum. */
export interface Row {
  readonly measure: string;
  readonly load: string;
  readonly pair: string;
  readonly rounds: number;
  readonly figures: Figures;
  readonly note?: string;
  /** Why there are no figures. */
  readonly failure?: string;
}

export interface Sample {
  readonly figures: Figures;
  readonly note?: string;
}

/** Median of each figure; of an even number of rounds the mean of the two in the middle. */
export function mediansOf(samples: readonly Figures[]): Figures {
  const names = Object.keys(samples[0] ?? {});
  return Object.fromEntries(
    names.map((name) => {
      const values = samples.map((sample) => figureOf(sample, name)).sort((left, right) => left - right);
      return [name, name === 'errors' ? values.reduce((sum, value) => sum + value, 0) : median(values)];
    }),
  );
}

/** A figure that must be there. */
export function figureOf(figures: Figures, name: string): number {
  const value = figures[name];
  if (value === undefined) throw new Error(`no figure ${name} among ${Object.keys(figures).join(', ')}`);
  return value;
}

function median(sorted: readonly number[]): number {
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)] ?? Number.NaN;
  return Number.isInteger(middle) ? (upper + (sorted[middle - 1] ?? Number.NaN)) / 2 : upper;
}
