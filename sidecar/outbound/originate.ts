import { Refusal } from '#policy/error/refusal.ts';
import type { Endpoint } from '#policy/workload-policy.ts';
import type { Destination, Sendable } from '../exchange/exchange.ts';
import { type Answered, forward } from '../exchange/forward.ts';
import { UpstreamFailure } from '../http/message.ts';
import { chooseEndpoint, UNREACHABLE_PAUSE_MS } from './choose-endpoint.ts';
import type { PeerPools } from './peer-pools.ts';

/** Endpoints tried for one request; further ones only after a failure before its first byte left. */
const MAX_ENDPOINTS_TRIED = 3;
const NONE_TRIED: readonly Endpoint[] = [];

/**
 * Sends the request to an endpoint of its destination, over mutual TLS with the identity that
 * discovery declares for it; in plaintext where it declares that the endpoint is outside of the mesh. An endpoint that cannot be reached is passed over for another.
 * Refuses: no_endpoint, upstream_unavailable, upstream_identity_mismatch, upstream_certificate_refused, loop_detected.
 */
export async function originate(
  exchange: Sendable,
  target: Destination,
  pools: PeerPools,
  headers: string[],
): Promise<Answered> {
  if (target.kind === 'external') {
    exchange.port = target.port;
    const { upstream, load } = pools.external(target.address, target.port);
    load.inFlight++;
    try {
      return await forward(exchange, upstream, headers);
    } finally {
      load.inFlight--;
    }
  }
  const { endpoints } = target.service;
  let tried: readonly Endpoint[] = NONE_TRIED;
  let lastFailure: unknown;
  while (tried.length < MAX_ENDPOINTS_TRIED) {
    exchange.enter('choose');
    const endpoint = chooseEndpoint(endpoints, pools.loadOf, tried, performance.now(), Math.random);
    if (endpoint === undefined) break;
    exchange.port = endpoint.port;
    exchange.destination = endpoint.identity?.uri ?? endpoint.address;
    const { upstream, load } = pools.of(endpoint);
    load.inFlight++;
    try {
      return await forward(exchange, upstream, headers);
    } catch (error) {
      if (!(error instanceof Refusal) || !isUnsent(error) || exchange.givenUp !== undefined) throw error;
      load.unreachableUntil = performance.now() + UNREACHABLE_PAUSE_MS;
      tried = [...tried, endpoint];
      lastFailure = error;
    } finally {
      load.inFlight--;
    }
  }
  const { namespace, name } = target.service;
  throw lastFailure ?? new Refusal('no_endpoint', `${namespace}/${name} has no endpoint`);
}

/** True when not one byte of the request can have reached the endpoint. */
function isUnsent(refusal: Refusal): boolean {
  return refusal.cause instanceof UpstreamFailure && refusal.cause.isUnsent;
}
