import { Refusal } from '#policy/error/refusal.ts';
import type { SpiffeId } from '#policy/identity/spiffe-id.ts';
import { type Accepted, type Destination, isResolved, narrowed, type Resolved } from '../exchange/exchange.ts';

/**
 * Finds the service by the Host the app asked for. Refuses: unknown_host, unless
 * MeshDefaults.outbound is AllowAny.
 */
export function resolve(exchange: Accepted, source: SpiffeId): Resolved {
  exchange.enter('resolve');
  const { host, policy, server } = exchange;
  exchange.source = source;
  exchange.outgoingBody = server.body.isPresent ? server.body : null;
  const service = policy.services.resolve(host);
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
  exchange.target = external(host);
  return narrowed(exchange, isResolved);
}

function external(host: string): Destination {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:]+))(?::([0-9]{1,5}))?$/i.exec(host);
  const port = Number(match?.[3] ?? 80);
  if (match === null || port === 0 || port > 65_535) {
    throw new Refusal('unknown_host', `${JSON.stringify(host)} is not HOST or HOST:PORT`);
  }
  return { kind: 'external', address: match[1] ?? match[2] ?? '', port };
}
