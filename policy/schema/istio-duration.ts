import type { Schema } from './schema.ts';

const UNITS_MS: { readonly [unit: string]: number } = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
const DURATION = /^([0-9]{1,9}(\.[0-9]{1,9})?(ms|s|m|h)){1,4}$/;

/** A duration as Istio and Envoy write it (`5s`, `600ms`, `1.5s`, `1m30s`); read as whole milliseconds. */
export function istioDuration(rules: { minimumMs: number; maximumMs: number; description: string }): Schema<number> {
  const { minimumMs, maximumMs, description } = rules;
  const range = `${minimumMs}ms to ${maximumMs / 1_000}s`;
  return {
    json: { type: 'string', pattern: DURATION.source, description: `${description} E.g. 5s or 600ms; ${range}.` },
    read(value, path, context) {
      const ms = typeof value === 'string' ? parse(value) : undefined;
      if (ms === undefined) {
        const given = typeof value === 'string' || typeof value === 'number' ? JSON.stringify(value) : typeof value;
        context.fail(path, 'invalid_type', `expected a duration such as 5s or 600ms, got ${given}`);
        return undefined;
      }
      if (ms >= minimumMs && ms <= maximumMs) return ms;
      context.fail(path, 'invalid_value', `${String(value)} is outside of ${range}`);
      return undefined;
    },
  };
}

function parse(text: string): number | undefined {
  if (!DURATION.test(text)) return undefined;
  let ms = 0;
  for (const [, amount, unit = ''] of text.matchAll(/([0-9.]+)(ms|s|m|h)/g))
    ms += Number(amount) * (UNITS_MS[unit] ?? 0);
  return Math.round(ms);
}
