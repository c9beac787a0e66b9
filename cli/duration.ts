import { UsageError } from './command.ts';

const UNITS_MS: { readonly [unit: string]: number } = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Reads `1h`, `90s`; `option` is named where it is no duration. */
export function durationMs(option: string, text: string): number {
  const [, amount, unit = ''] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  const unitMs = UNITS_MS[unit];
  if (amount === undefined || unitMs === undefined) {
    throw new UsageError(`${option} ${text} is not a duration; write a number and s, m, h or d, e.g. 1h`);
  }
  return Number(amount) * unitMs;
}
