import { Refusal } from '#policy/error/refusal.ts';
import type { Endpoint } from '#policy/workload-policy.ts';
import { connectTcp } from '../exchange/connect-tcp.ts';
import { joinTcp } from '../exchange/join-tcp.ts';
import { recordTcp } from '../exchange/record.ts';
import { asRefusal } from '../exchange/refuse.ts';
import { type ConnectedTcp, type ResolvedTcp, TcpPassage } from '../exchange/tcp-passage.ts';
import type { OriginalDestination } from '../interception/original-destination.ts';
import type { TcpConnection } from '../listener/tcp-connection.ts';
import { chooseEndpoint, UNREACHABLE_PAUSE_MS } from './choose-endpoint.ts';
import type { Outbound } from './outbound.ts';

/** Endpoints tried for one connection; nothing of it has left before one is reached. */
const MAX_ENDPOINTS_TRIED = 3;

/**
 * A connection of the app that is no HTTP, on its way to where it was going when it was redirected. Each line is a stage; each may
 * refuse by throwing: then the connection is closed without a byte.
 */
export async function serveOutboundTcp(
  connection: TcpConnection,
  outbound: Outbound,
  redirected: OriginalDestination | undefined,
): Promise<void> {
  const passage = new TcpPassage('outbound', connection, outbound.policy());
  const { socket } = connection;
  socket.on('error', () => {}); // 'close' follows
  try {
    outbound.watch.add(passage);
    const resolved = resolve(passage, outbound, redirected);
    const connected = await originate(resolved, outbound);
    await joinTcp(connected);
  } catch (error) {
    passage.fail(asRefusal(error));
    socket.destroy();
  } finally {
    outbound.watch.delete(passage);
    recordTcp(passage, outbound.recorders);
  }
}

/** Finds the service by where the connection was going. Refuses: unknown_destination, unless MeshDefaults.outbound is AllowAny. */
function resolve(passage: TcpPassage, outbound: Outbound, redirected: OriginalDestination | undefined): ResolvedTcp {
  passage.enter('resolve');
  passage.source = outbound.ownIdentity;
  if (redirected === undefined) {
    throw new Refusal('unknown_destination', 'the connection was made to the listener itself, and is not HTTP');
  }
  const { address, port } = redirected;
  const { services, defaults } = passage.policy;
  passage.port = port;
  passage.destination = `${address}:${port}`;
  const service = services.resolveAddress(address, port);
  if (service !== undefined) {
    passage.destination = `${service.name}.${service.namespace}`;
    return Object.assign(passage, { target: { kind: 'service' as const, service } });
  }
  if (defaults.outbound === 'RegistryOnly') {
    const reason = `no service of the mesh has the address ${address} with port ${port} (MeshDefaults.outbound: RegistryOnly)`;
    throw new Refusal('unknown_destination', reason);
  }
  return Object.assign(passage, { target: { kind: 'external' as const, address, port } });
}

/**
 * Reaches an endpoint of the service, over mutual TLS with the identity that discovery declares for it; one that is outside
 * of the mesh, and whatever is no service, in plaintext. Refuses: no_endpoint, and the codes of connectTcp.
 */
async function originate(passage: ResolvedTcp, { pools, dialTcp }: Outbound): Promise<ConnectedTcp> {
  const { target } = passage;
  if (target.kind === 'external') {
    return connectTcp(passage, (callback) => dialTcp(target.address, target.port, undefined, callback));
  }
  const { endpoints, namespace, name } = target.service;
  const tried: Endpoint[] = [];
  let lastFailure: unknown;
  while (tried.length < MAX_ENDPOINTS_TRIED) {
    passage.enter('choose');
    const endpoint = chooseEndpoint(endpoints, pools.loadOf, tried, performance.now(), Math.random);
    if (endpoint === undefined) break;
    const { address, port, identity } = endpoint;
    passage.port = port;
    passage.destination = identity?.uri ?? address;
    const { load, tls } = pools.of(endpoint);
    try {
      const connected = await connectTcp(passage, (callback) => dialTcp(address, port, tls, callback, endpoint));
      load.inFlight++;
      connected.upstream.once('close', () => load.inFlight--);
      return connected;
    } catch (error) {
      if (passage.givenUp !== undefined) throw error;
      load.unreachableUntil = performance.now() + UNREACHABLE_PAUSE_MS;
      tried.push(endpoint);
      lastFailure = error;
    }
  }
  throw lastFailure ?? new Refusal('no_endpoint', `${namespace}/${name} has no endpoint`);
}
