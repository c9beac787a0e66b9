import { Refusal } from '#policy/error/refusal.ts';
import type { SpiffeId } from '#policy/identity/spiffe-id.ts';
import type { Endpoint, WorkloadPolicy } from '#policy/workload-policy.ts';
import { accept } from '../exchange/accept.ts';
import { Exchange } from '../exchange/exchange.ts';
import { type Recorder, record } from '../exchange/record.ts';
import { refuse } from '../exchange/refuse.ts';
import { requestHeaders } from '../exchange/request-headers.ts';
import { respond } from '../exchange/respond.ts';
import type { StallWatch } from '../exchange/stall-watch.ts';
import type { Dialled, PeerTls } from '../http/dial.ts';
import type { ServerRequest } from '../http/message.ts';
import type { OriginalDestination } from '../interception/original-destination.ts';
import { traceContextOf } from '../telemetry/trace-context.ts';
import { originate } from './originate.ts';
import type { PeerPools } from './peer-pools.ts';
import { resolve } from './resolve.ts';

/** Opens a connection, by mutual TLS without ALPN, or in plaintext where there is no `peer`. `endpoint`: of a service. */
export type DialTcp = (
  address: string,
  port: number,
  peer: PeerTls | undefined,
  callback: Dialled,
  endpoint?: Endpoint,
) => void;

/** What the outbound listener works with. */
export interface Outbound {
  policy(): WorkloadPolicy;
  readonly pools: PeerPools;
  /** Opens a connection for what is no HTTP. */
  readonly dialTcp: DialTcp;
  /** Own SPIFFE ID. */
  readonly ownIdentity: SpiffeId;
  readonly sampleRatio: number;
  readonly watch: StallWatch;
  readonly recorders: readonly Recorder[];
}

/**
 * A request of the app, on its way to another workload. Each line is a stage; `refuse` is the one exit. `redirected`: where its
 * connection was going; absent: to this listener.
 */
export async function serveOutbound(
  server: ServerRequest,
  outbound: Outbound,
  redirected?: OriginalDestination,
): Promise<void> {
  const trace = traceContextOf(server.head.headers, outbound.sampleRatio);
  const exchange = new Exchange('outbound', server, outbound.policy(), trace);
  server.onAbandoned = (error) =>
    exchange.giveUp(error instanceof Refusal ? error : new Refusal('client_gone', error.message));
  try {
    outbound.watch.add(exchange);
    const accepted = accept(exchange);
    const resolved = resolve(accepted, outbound.ownIdentity, redirected);
    const headers = requestHeaders(resolved, undefined);
    const answered = await originate(resolved, resolved.target, outbound.pools, headers);
    await respond(answered);
  } catch (error) {
    refuse(exchange, error);
  } finally {
    outbound.watch.delete(exchange);
    record(exchange, outbound.recorders);
  }
}
