import { Refusal } from '#policy/error/refusal.ts';
import type { SpiffeId } from '#policy/identity/spiffe-id.ts';
import { parseAuthority } from '#policy/mesh/parse-authority.ts';
import type { Service, ServiceRegistry } from '#policy/workload-policy.ts';
import { type Accepted, type Destination, isResolved, narrowed, type Resolved } from '../exchange/exchange.ts';
import type { OriginalDestination } from '../interception/original-destination.ts';

/**
 * Finds the service by the Host the app asked for; where that is none of the mesh, by `redirected`, which is where the
 * connection was going. Refuses: unknown_host, unless MeshDefaults.outbound is AllowAny.
 */
export function resolve(exchange: Accepted, source: SpiffeId, redirected?: OriginalDestination): Resolved {
  exchange.enter('resolve');
  const { host, policy, server } = exchange;
  exchange.source = source;
  exchange.outgoingBody = server.body.isPresent ? server.body : null;
  const { services } = policy;
  const service = redirected === undefined ? services.resolve(host) : redirectedService(services, host, redirected);
  if (service !== undefined) {
    exchange.destination = `${service.name}.${service.namespace}`;
    exchange.target = { kind: 'service', service };
    return narrowed(exchange, isResolved);
  }
  if (policy.defaults.outbound === 'RegistryOnly') {
    throw new Refusal(
      'unknown_host',
      `no service of the mesh has the host ${JSON.stringify(host)} (MeshDefaults.outbound: RegistryOnly)`,
    );
  }
  exchange.destination = host;
  exchange.target = redirected === undefined ? external(host) : { kind: 'external', ...redirected };
  return narrowed(exchange, isResolved);
}

/** Port of a host that names none. */
const DEFAULT_PORT = 80;

function redirectedService(
  services: ServiceRegistry,
  host: string,
  { address, port }: OriginalDestination,
): Service | undefined {
  // a host without a port is one of the port that was called
  const named = port === DEFAULT_PORT || parseAuthority(host)?.port !== undefined ? host : `${host}:${port}`;
  return services.resolve(named) ?? services.resolveAddress(address, port);
}

function external(host: string): Destination {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:]+))(?::([0-9]{1,5}))?$/i.exec(host);
  const port = Number(match?.[3] ?? 80);
  if (match === null || port === 0 || port > 65_535) {
    throw new Refusal('unknown_host', `${JSON.stringify(host)} is not HOST or HOST:PORT`);
  }
  return { kind: 'external', address: match[1] ?? match[2] ?? '', port };
}
