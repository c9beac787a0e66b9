import { Refusal } from '#policy/error/refusal.ts';
import type { WorkloadPolicy } from '#policy/workload-policy.ts';
import type { Providers } from '../authorization/providers.ts';
import { accept } from '../exchange/accept.ts';
import { Exchange } from '../exchange/exchange.ts';
import { forward } from '../exchange/forward.ts';
import { type Recorder, record } from '../exchange/record.ts';
import { refuse } from '../exchange/refuse.ts';
import { requestHeaders } from '../exchange/request-headers.ts';
import { respond } from '../exchange/respond.ts';
import type { StallWatch } from '../exchange/stall-watch.ts';
import type { ServerRequest, Upstream } from '../http/message.ts';
import { traceContextOf } from '../telemetry/trace-context.ts';
import { authenticate } from './authenticate.ts';
import { authorize } from './authorize.ts';
import { clientCertificate } from './client-certificate.ts';
import { consult } from './consult.ts';
import { identify } from './identify.ts';
import { type AppTarget, route } from './route.ts';
import { validate } from './validate.ts';

/** What one inbound listener works with. */
export interface Inbound {
  /** The law in force now; an exchange keeps the one it began under. */
  policy(): WorkloadPolicy;
  readonly app: AppTarget;
  readonly upstream: Upstream;
  /** Own SPIFFE ID. */
  readonly ownIdentity: string;
  /** Whom CUSTOM policies have asked. */
  readonly providers: Providers;
  readonly sampleRatio: number;
  readonly watch: StallWatch;
  readonly recorders: readonly Recorder[];
}

/**
 * A request from another workload, on its way to the app. Each line is a stage; each may refuse by
 * throwing, and `refuse` is the one exit. Who calls was judged when the connection was accepted (identity/tls-contexts.ts).
 */
export async function serveInbound(server: ServerRequest, inbound: Inbound): Promise<void> {
  const trace = traceContextOf(server.head.headers, inbound.sampleRatio);
  const exchange = new Exchange('inbound', server, inbound.policy(), trace);
  server.onAbandoned = (error) =>
    exchange.giveUp(error instanceof Refusal ? error : new Refusal('client_gone', error.message));
  try {
    inbound.watch.add(exchange);
    const accepted = accept(exchange);
    const identified = identify(accepted);
    const routed = route(identified, inbound.app, inbound.ownIdentity);
    const authenticating = authenticate(routed);
    const authenticated = authenticating instanceof Promise ? await authenticating : authenticating;
    const consulting = consult(authenticated, inbound.providers, inbound.ownIdentity);
    const consulted = consulting instanceof Promise ? await consulting : consulting;
    const permitted = authorize(consulted);
    const validating = validate(permitted);
    const validated = validating instanceof Promise ? await validating : validating; // a wait for nothing is a turn lost
    const headers = requestHeaders(validated, clientCertificate(exchange, inbound.ownIdentity));
    const answered = await forward(validated, inbound.upstream, headers);
    await respond(answered);
  } catch (error) {
    refuse(exchange, error);
  } finally {
    inbound.watch.delete(exchange);
    record(exchange, inbound.recorders);
  }
}
