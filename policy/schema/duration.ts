import type { Schema } from './schema.ts';

const UNITS_MS: { readonly [unit: string]: number } = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const DURATION = /^(\d{1,9})([smhd])$/;

/** Milliseconds of `90s`, `5m`, `24h`, `30d`; undefined: it is none. */
export function parseDuration(text: string): number | undefined {
  const [, amount, unit = ''] = DURATION.exec(text) ?? [];
  const unitMs = UNITS_MS[unit];
  return amount === undefined || unitMs === undefined ? undefined : Number(amount) * unitMs;
}

/** A duration in the largest unit that leaves it whole: `24h`, not `86400s`; a day and less in hours. */
export function durationText(ms: number): string {
  if (ms > 86_400_000 && ms % 86_400_000 === 0) return `${ms / 86_400_000}d`;
  if (ms > 0 && ms % 3_600_000 === 0) return `${ms / 3_600_000}h`;
  if (ms > 0 && ms % 60_000 === 0) return `${ms / 60_000}m`;
  return `${Math.round(ms / 1_000)}s`;
}

/** A duration written as a number and s, m, h or d; read as milliseconds. */
export function duration(rules: { minimumMs: number; maximumMs: number; description: string }): Schema<number> {
  const { minimumMs, maximumMs, description } = rules;
  const range = `${durationText(minimumMs)} to ${durationText(maximumMs)}`;
  return {
    json: {
      type: 'string',
      pattern: DURATION.source,
      description: `${description} A number and s, m, h or d; ${range}.`,
    },
    read(value, path, context) {
      const ms = typeof value === 'string' ? parseDuration(value) : undefined;
      if (ms === undefined) {
        const given = typeof value === 'string' || typeof value === 'number' ? JSON.stringify(value) : typeof value;
        context.fail(path, 'invalid_type', `expected a duration, a number and s, m, h or d such as 24h, got ${given}`);
        return undefined;
      }
      if (ms >= minimumMs && ms <= maximumMs) return ms;
      context.fail(path, 'invalid_value', `${String(value)} is outside of ${range}`);
      return undefined;
    },
  };
}
