import type { Gauge } from './metrics.ts';

/** Addresses of keys that have series of their own; further ones are told together as `other`. */
export const MAX_ISSUER_SERIES = 100;

/** How the keys of one issuer fare. */
export interface KeysState {
  /** Where they are fetched from. */
  readonly url: string;
  /** Milliseconds since the epoch; 0: never yet. */
  readonly hadAtMs: number;
  /** Attempts that failed. */
  readonly failures: number;
}

/** Since when the keys that are in force may be old, and how often they could not be had. */
export function issuerGauges(states: () => readonly KeysState[]): readonly Gauge[] {
  return [
    {
      name: 'lateral_issuer_keys_timestamp_seconds',
      help: 'When the keys of issuers of tokens were last fetched, by their address; 0: not since the start. Of several threads, the one that did so first.',
      type: 'gauge',
      joins: 'min',
      read: () => series(states(), ({ hadAtMs }) => hadAtMs / 1_000, Math.min),
    },
    {
      name: 'lateral_issuer_keys_failures_total',
      help: 'Attempts to fetch the keys of issuers of tokens that failed, by their address.',
      type: 'counter',
      read: () =>
        series(
          states(),
          ({ failures }) => failures,
          (one, other) => one + other,
        ),
    },
  ];
}

function series(
  states: readonly KeysState[],
  of: (state: KeysState) => number,
  join: (one: number, other: number) => number,
): readonly (readonly [string, number])[] {
  const bySource = new Map<string, number>();
  for (const state of states) {
    const shown = sourceOf(state);
    const source = bySource.has(shown) || bySource.size < MAX_ISSUER_SERIES ? shown : 'other';
    const known = bySource.get(source);
    bySource.set(source, known === undefined ? of(state) : join(known, of(state)));
  }
  return [...bySource].map(([source, value]) => [`{source="${source}"}`, value]);
}

/** Without user information and query, which may be secrets. */
function sourceOf({ url }: KeysState): string {
  const parsed = URL.parse(url);
  return parsed === null ? 'unreadable' : `${parsed.origin}${parsed.pathname}`.replaceAll(/["\\\n]/g, '_');
}
