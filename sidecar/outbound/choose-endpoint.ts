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
  const drawn = drawTwo(untried, random);
  // all are looked at only when one of the two was just unreachable
  const [left, right] = drawn.every(isReachable) ? drawn : drawTwo(reachableOf(untried, isReachable), random);
  if (left === undefined || right === undefined) return left ?? right;
  return loadOf(left).inFlight <= loadOf(right).inFlight ? left : right;
}

/** Those that are reachable, or all where none is. */
function reachableOf(
  endpoints: readonly Endpoint[],
  isReachable: (endpoint: Endpoint) => boolean,
): readonly Endpoint[] {
  const reachable = endpoints.filter(isReachable);
  return reachable.length === 0 ? endpoints : reachable;
}

/** Two different ones at random, each pair as likely; the same twice where there is one. */
function drawTwo(endpoints: readonly Endpoint[], random: () => number): Endpoint[] {
  const first = Math.floor(random() * endpoints.length);
  const step = 1 + Math.floor(random() * (endpoints.length - 1));
  const second = endpoints.length === 1 ? first : (first + step) % endpoints.length;
  return [endpoints[first], endpoints[second]].filter((endpoint) => endpoint !== undefined);
}
