import type { Service, ServiceProtocol } from '../workload-policy.ts';
import { canonicalAddress } from './canonical-address.ts';
import { type CompiledService, type EndpointSpec, endpointPort } from './compiled-service.ts';

interface Place {
  readonly service: CompiledService;
  readonly endpoint: EndpointSpec;
}

/**
 * Endpoints by their own addresses. An address has as many places as services have it as an endpoint: one or two for a
 * pod. Made when it is first asked: only redirected connections need it.
 */
export class AddressIndex {
  readonly #services: readonly CompiledService[];
  readonly #namespace: string;
  #places: Map<string, Place[]> | undefined;
  readonly #found = new Map<string, Service>();

  /** `services` in the order in which they take precedence; `namespace`: that of the workload itself. */
  constructor(services: readonly CompiledService[], namespace: string) {
    this.#services = services;
    this.#namespace = namespace;
  }

  /** The endpoint of this address and port, alone. One of the mesh goes before one that is reached in plaintext. */
  endpointAt(address: string, port: number): Service | undefined {
    const key = `${address} ${port}`;
    const known = this.#found.get(key);
    if (known !== undefined) return known;
    let found: { readonly place: Place; readonly servicePort: number } | undefined;
    for (const place of this.#placesOf(address)) {
      const servicePort = portBehind(place, port);
      if (servicePort === undefined) continue;
      if (found !== undefined && (place.endpoint.plaintext || !found.place.endpoint.plaintext)) continue;
      found = { place, servicePort };
    }
    if (found === undefined) return undefined;
    const service = found.place.service.atEndpoint(found.place.endpoint, found.servicePort);
    this.#found.set(key, service); // there are no more than endpoints have ports
    return service;
  }

  /** What is spoken there; what a service declares goes before `auto`. Others' services have no say in it. */
  protocolOf(address: string, port: number): ServiceProtocol | undefined {
    let found: ServiceProtocol | undefined;
    for (const { service, endpoint } of this.#placesOf(address)) {
      if (service.resource.namespace !== this.#namespace) continue;
      for (const servicePort of service.portsAt(endpoint)) {
        if (endpointPort(endpoint, servicePort) !== port) continue;
        const protocol = service.protocolOf(servicePort);
        if (protocol !== undefined && protocol !== 'auto') return protocol;
        found ??= protocol;
      }
    }
    return found;
  }

  #placesOf(address: string): readonly Place[] {
    this.#places ??= placesByAddress(this.#services);
    return this.#places.get(address) ?? [];
  }
}

/** The first port of the service that is this one at the endpoint. */
function portBehind({ service, endpoint }: Place, port: number): number | undefined {
  for (const servicePort of service.portsAt(endpoint)) {
    if (endpointPort(endpoint, servicePort) === port) return servicePort;
  }
  return undefined;
}

function placesByAddress(services: readonly CompiledService[]): Map<string, Place[]> {
  const places = new Map<string, Place[]>();
  for (const service of services) {
    for (const endpoint of service.resource.spec.endpoints) {
      const address = canonicalAddress(endpoint.address);
      const there = places.get(address);
      if (there === undefined) places.set(address, [{ service, endpoint }]);
      else there.push({ service, endpoint });
    }
  }
  return places;
}
