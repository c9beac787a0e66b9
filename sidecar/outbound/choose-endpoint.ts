import type { Endpoint } from '#policy/workload-policy.ts';

/** An endpoint that could not be reached is passed over for this long, while there are others. */
export const UNREACHABLE_PAUSE_MS = 5_000;

/** What the choice is made by. */
export interface EndpointLoad {
  /** Requests in flight. */
  inFlight: number;
  /** Monotonic milliseconds; until then it counts as unreachable. */
  unreachableUntil: number;
}

/**
 * Power of two choices: of two endpoints drawn at random the one with fewer requests in flight
 * (Mitzenmacher 2001). Endpoints that were just unreachable, or that `tried` has, are drawn only when
 * nothing else is left; undefined: all were tried.
 */
export function chooseEndpoint(
  endpoints: readonly Endpoint[],
  loadOf: (endpoint: Endpoint) => EndpointLoad,
  tried: readonly Endpoint[],
  now: number,
  random: () => number,
): Endpoint | undefined {
  const untried = tried.length === 0 ? endpoints : endpoints.filter((endpoint) => !tried.includes(endpoint));
  const [only] = untried;
  if (untried.length <= 1) return only;
  const isReachable = (endpoint: Endpoint) => loadOf(endpoint).unreachableUntil <= now;
  const candidates = untried.every(isReachable) ? untried : untried.filter(isReachable);
  const pool = candidates.length === 0 ? untried : candidates;
  const first = Math.floor(random() * pool.length);
  const second = pool.length === 1 ? first : (first + 1 + Math.floor(random() * (pool.length - 1))) % pool.length;
  const [left, right] = [pool[first], pool[second]];
  if (left === undefined || right === undefined) return left ?? right;
  return loadOf(left).inFlight <= loadOf(right).inFlight ? left : right;
}
