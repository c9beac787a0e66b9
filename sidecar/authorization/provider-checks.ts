import type { Provider } from '#policy/authorization/provider.ts';
import type { Endpoint, WorkloadPolicy } from '#policy/workload-policy.ts';
import { UpstreamFailure } from '../http/message.ts';
import { chooseEndpoint, UNREACHABLE_PAUSE_MS } from '../outbound/choose-endpoint.ts';
import type { PeerPools } from '../outbound/peer-pools.ts';
import { exchangeWhole, type Message, type WholeAnswer } from './answer-collector.ts';
import type { CheckedConnection } from './checked-request.ts';
import { grpcCheck, grpcVerdict } from './grpc-check.ts';
import { httpCheck, httpVerdict } from './http-check.ts';
import type { Verdict } from './verdict.ts';

/** Endpoints tried for one check; further ones only after a failure before its first byte left. */
const MAX_ENDPOINTS_TRIED = 3;

/** What a provider is reached by. */
export type ProviderWay = Pick<WorkloadPolicy, 'services' | 'defaults'>;

/** Asks a provider about a request. `signal`: the request is given up. Never rejects but by `signal`. */
export async function checkByProvider(
  provider: Provider,
  way: ProviderWay,
  pools: PeerPools,
  checked: CheckedConnection,
  signal: AbortSignal,
): Promise<Verdict> {
  const ending = new AbortController();
  const timer = setTimeout(() => ending.abort(tooSlow(provider)), provider.timeoutMs);
  try {
    return await ask(provider, way, pools, checked, AbortSignal.any([signal, ending.signal]));
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    return { kind: 'failed', reason: error instanceof Error ? error.message : String(error) };
  } finally {
    clearTimeout(timer);
  }
}

function tooSlow({ timeoutMs }: Provider): Error {
  return new Error(`no whole answer within timeout ${timeoutMs} ms`);
}

async function ask(
  provider: Provider,
  way: ProviderWay,
  pools: PeerPools,
  checked: CheckedConnection,
  signal: AbortSignal,
): Promise<Verdict> {
  if (provider.http === undefined) {
    return grpcVerdict(await send(provider, way, pools, grpcCheck(provider, checked), signal));
  }
  if (checked.http === undefined) throw new Error('a TCP connection cannot be told of by HTTP');
  return httpVerdict(provider.http, await send(provider, way, pools, httpCheck(provider.http, checked.http), signal));
}

/** To an endpoint of a service of the mesh, over mutual TLS with the identity that is declared for it; else as `outside` says. */
async function send(
  provider: Provider,
  { services, defaults }: ProviderWay,
  pools: PeerPools,
  message: Message,
  signal: AbortSignal,
): Promise<WholeAnswer> {
  const { host, port, namespace } = provider;
  const service = services.resolve(`${host.includes(':') ? `[${host}]` : host}:${port}`);
  const isMeant = service !== undefined && (namespace === undefined || service.namespace === namespace);
  if (!isMeant) {
    if (namespace !== undefined || (!isLoopback(host) && defaults.outbound === 'RegistryOnly')) {
      const where = namespace === undefined ? `${host}:${port}` : `${namespace}/${host}:${port}`;
      throw new Error(`no service of the mesh is ${where} (MeshDefaults.outbound: ${defaults.outbound})`);
    }
    return exchangeWhole(pools.external(host, port).upstream, message, signal);
  }
  return sendToEndpoint(service.endpoints, pools, message, signal);
}

async function sendToEndpoint(
  endpoints: readonly Endpoint[],
  pools: PeerPools,
  message: Message,
  signal: AbortSignal,
): Promise<WholeAnswer> {
  const tried: Endpoint[] = [];
  let lastFailure: unknown = new Error('the service has no endpoint');
  while (tried.length < MAX_ENDPOINTS_TRIED) {
    const endpoint = chooseEndpoint(endpoints, pools.loadOf, tried, performance.now(), Math.random);
    if (endpoint === undefined) break;
    const { upstream, load } = pools.of(endpoint);
    load.inFlight++;
    try {
      return await exchangeWhole(upstream, message, signal);
    } catch (error) {
      if (!(error instanceof UpstreamFailure && error.isUnsent) || signal.aborted) throw error;
      load.unreachableUntil = performance.now() + UNREACHABLE_PAUSE_MS;
      tried.push(endpoint);
      lastFailure = error;
    } finally {
      load.inFlight--;
    }
  }
  throw lastFailure;
}

/** Nobody but this machine, or this pod, is there. */
function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.[0-9]{1,3}){3}$/.test(host);
}
