import { parseSpiffeId, type SpiffeId, spiffeId } from '../identity/spiffe-id.ts';
import type { Resource } from '../resource/kind.ts';
import type { MeshServiceSpec } from '../resource/kinds/mesh-service.ts';
import type { Endpoint, Mesh, Service, ServiceProtocol } from '../workload-policy.ts';

export type EndpointSpec = MeshServiceSpec['endpoints'][number];

const ANY_PORT = 0;

/** The ports by which an endpoint is found: its own, and those of the app behind them. */
type EndpointPorts = Pick<EndpointSpec, 'port' | 'ports' | 'appPort' | 'appPorts'>;

/** Where an endpoint is reached for a port of its service. */
export function endpointPort(endpoint: EndpointPorts, servicePort: number): number {
  return endpoint.ports?.[servicePort] ?? endpoint.port;
}

/** The app's port there, which PeerAuthentications mean. */
export function appPort(endpoint: EndpointPorts, servicePort: number): number {
  const declared = endpoint.appPorts?.[servicePort];
  if (declared !== undefined) return declared;
  return endpoint.ports?.[servicePort] ?? endpoint.appPort ?? endpoint.port;
}

/**
 * A service, whose ports are compiled when somebody first asks for them: of the services of a mesh a workload calls a
 * few, and all of them are in every snapshot.
 */
export class CompiledService {
  readonly resource: Resource<MeshServiceSpec>;
  readonly #trustDomain: string;
  readonly #protocols: ReadonlyMap<number, ServiceProtocol> | undefined;
  readonly #byPort = new Map<number, Service>();
  readonly #identities = new Map<string, SpiffeId>();

  constructor(resource: Resource<MeshServiceSpec>, mesh: Pick<Mesh, 'trustDomain'>) {
    this.resource = resource;
    this.#trustDomain = mesh.trustDomain;
    const { ports } = resource.spec;
    this.#protocols = ports === undefined ? undefined : new Map(ports.map(({ port, protocol }) => [port, protocol]));
  }

  /** A service without ports has any. */
  hasPort(port: number): boolean {
    return this.#protocols === undefined || this.#protocols.has(port);
  }

  /** Undefined: it does not say. */
  protocolOf(port: number): ServiceProtocol | undefined {
    return this.#protocols?.get(port);
  }

  /** The ports it declares; those of `endpoint` itself where it declares none. */
  portsAt({ port }: EndpointSpec): Iterable<number> {
    return this.#protocols?.keys() ?? [port];
  }

  /** One port of the service. */
  at(port: number): Service {
    const key = this.#protocols === undefined ? ANY_PORT : port; // there all are alike
    const known = this.#byPort.get(key);
    if (known !== undefined) return known;
    const made = this.#compile(port, this.resource.spec.endpoints);
    this.#byPort.set(key, made);
    return made;
  }

  /** Those endpoints alone that have this hostname; undefined: none has. */
  atHostname(hostname: string, port: number): Service | undefined {
    const named = this.resource.spec.endpoints.filter((endpoint) => endpoint.hostname === hostname);
    return named.length === 0 ? undefined : this.#compile(port, named);
  }

  /** One endpoint alone. */
  atEndpoint(endpoint: EndpointSpec, port: number): Service {
    return this.#compile(port, [endpoint]);
  }

  #compile(port: number, endpoints: readonly EndpointSpec[]): Service {
    const { namespace, name } = this.resource;
    const protocol = this.#protocols?.get(port) ?? 'auto';
    return { namespace, name, protocol, endpoints: endpoints.map((endpoint) => this.#endpoint(endpoint, port)) };
  }

  #endpoint(endpoint: EndpointSpec, port: number): Endpoint {
    const { address, labels, plaintextPorts } = endpoint;
    const own = endpointPort(endpoint, port);
    const identity = plaintextPorts?.includes(own) === true ? undefined : this.#identity(endpoint);
    return { address, port: own, identity, hasSidecar: !endpoint.plaintext, labels };
  }

  #identity({ serviceAccount, spiffeId: foreign }: EndpointSpec): SpiffeId | undefined {
    const name = foreign ?? serviceAccount;
    if (name === undefined) return undefined;
    const known = this.#identities.get(name);
    if (known !== undefined) return known;
    const identity =
      foreign === undefined ? spiffeId(this.#trustDomain, this.resource.namespace, name) : foreignIdentity(foreign);
    this.#identities.set(name, identity);
    return identity;
  }
}

function foreignIdentity(uri: string): SpiffeId {
  const result = parseSpiffeId(uri);
  if (result.kind === 'valid') return result.id;
  throw new Error(result.reason); // refused at load
}
