import { Refusal } from '#policy/error/refusal.ts';
import type { SpiffeId } from '#policy/identity/spiffe-id.ts';
import type { Service } from '#policy/workload-policy.ts';
import type { Accepted, Sendable } from '../exchange/exchange.ts';

/** Where a call of the app goes: a service of the mesh, or (AllowAny) the host as it is written. */
export type Destination =
  | { readonly kind: 'service'; readonly service: Service }
  | { readonly kind: 'external'; readonly address: string; readonly port: number };

export type Resolved = Sendable & { readonly target: Destination };

/**
 * Finds the service by the Host the app asked for. Refuses: unknown_host, unless
 * MeshDefaults.outbound is AllowAny.
 */
export function resolve(exchange: Accepted, source: SpiffeId): Resolved {
  exchange.enter('resolve');
  const { host, policy, server } = exchange;
  exchange.source = source;
  const outgoingBody = server.body.isPresent ? server.body : null;
  const service = policy.services.resolve(host);
  if (service !== undefined) {
    const target: Destination = { kind: 'service', service };
    return Object.assign(exchange, {
      source,
      destination: `${service.name}.${service.namespace}`,
      target,
      outgoingBody,
    });
  }
  if (policy.defaults.outbound === 'RegistryOnly') {
    throw new Refusal(
      'unknown_host',
      `no service of the mesh has the host ${JSON.stringify(host)} (MeshDefaults.outbound: RegistryOnly)`,
    );
  }
  return Object.assign(exchange, { destination: host, target: external(host), outgoingBody });
}

function external(host: string): Destination {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:]+))(?::([0-9]{1,5}))?$/i.exec(host);
  const port = Number(match?.[3] ?? 80);
  if (match === null || port === 0 || port > 65_535) {
    throw new Refusal('unknown_host', `${JSON.stringify(host)} is not HOST or HOST:PORT`);
  }
  return { kind: 'external', address: match[1] ?? match[2] ?? '', port };
}
