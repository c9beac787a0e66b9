/** Longest that one tap lasts. */
export const MAX_TAP_SECONDS = 600;
/** Most lines that one tap is given. */
export const MAX_TAP_LINES = 100_000;

const DECISIONS: ReadonlySet<string> = new Set(['allow', 'deny', 'audit']);
const DIRECTIONS: ReadonlySet<string> = new Set(['inbound', 'outbound']);

/** Which lines of the access log somebody wants to see, and for how long. Undefined: any. */
export interface TapRequest {
  readonly code: string | undefined;
  readonly decision: string | undefined;
  readonly direction: string | undefined;
  readonly limit: number;
  readonly seconds: number;
}

/** Reads the query of `GET /tap`; a text says what is wrong with it. Unknown parameters are wrong. */
export function readTapRequest(query: URLSearchParams): TapRequest | string {
  for (const name of query.keys()) {
    if (!KNOWN.has(name)) return `unknown parameter ${name}; known: ${[...KNOWN].join(', ')}`;
  }
  const decision = query.get('decision') ?? undefined;
  if (decision !== undefined && !DECISIONS.has(decision)) return 'decision is allow, deny or audit';
  const direction = query.get('direction') ?? undefined;
  if (direction !== undefined && !DIRECTIONS.has(direction)) return 'direction is inbound or outbound';
  const limit = Number(query.get('limit') ?? MAX_TAP_LINES);
  if (!isCount(limit, MAX_TAP_LINES)) return `limit is a whole number from 1 to ${MAX_TAP_LINES}`;
  const seconds = Number(query.get('seconds') ?? MAX_TAP_SECONDS);
  if (!isCount(seconds, MAX_TAP_SECONDS)) return `seconds is a whole number from 1 to ${MAX_TAP_SECONDS}`;
  return { code: query.get('code') ?? undefined, decision, direction, limit, seconds };
}

/** The query that `readTapRequest` reads. */
export function tapQuery(request: TapRequest): string {
  const given = Object.entries(request).flatMap(([name, value]) => (value === undefined ? [] : [[name, `${value}`]]));
  return new URLSearchParams(given).toString();
}

const KNOWN: ReadonlySet<string> = new Set(['code', 'decision', 'direction', 'limit', 'seconds']);

function isCount(value: number, maximum: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= maximum;
}
