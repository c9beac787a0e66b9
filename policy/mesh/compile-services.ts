import { isIP } from 'node:net';
import { compareServices, isBareName } from '../resource/check-resource-set.ts';
import type { Resource } from '../resource/kind.ts';
import type { MeshServiceSpec } from '../resource/kinds/mesh-service.ts';
import type { Mesh, Service, ServiceRegistry, Workload } from '../workload-policy.ts';
import { AddressIndex } from './address-index.ts';
import { canonicalAddress } from './canonical-address.ts';
import { CompiledService } from './compiled-service.ts';
import { parseAuthority } from './parse-authority.ts';

/** Port of an authority that has none. */
const DEFAULT_PORT = 80;
/** Spellings of authorities that are found without being taken apart again. */
const MAX_KNOWN_SPELLINGS = 16_384;

/**
 * Compiles the services a workload can call. A host claimed twice goes to the first by namespace and name; bare
 * names are those of the workload's own namespace. All services of a mesh are compiled at each change, and a workload calls
 * few of them: what costs is left until it is asked for.
 */
export function compileServices(
  services: readonly Resource<MeshServiceSpec>[],
  workload: Pick<Workload, 'namespace'>,
  mesh: Mesh,
): ServiceRegistry {
  const sorted = [...services].sort(compareServices).map((resource) => new CompiledService(resource, mesh));
  const hosts = new HostTable(sorted, workload.namespace);
  const addresses = new AddressIndex(sorted, workload.namespace);
  const known = new Map<string, Service>();

  function resolveParsed(text: string): Service | undefined {
    const authority = parseAuthority(text.toLowerCase());
    if (authority === undefined) return undefined;
    const { port = DEFAULT_PORT } = authority;
    const host = authority.host.endsWith('.') ? authority.host.slice(0, -1) : authority.host; // the root's dot
    const service = hosts.find(canonicalAddress(host), port);
    if (service !== undefined && known.size < MAX_KNOWN_SPELLINGS) known.set(text, service);
    return service;
  }

  return {
    resolve: (text) => known.get(text) ?? resolveParsed(text),
    resolveAddress: (address, port) => hosts.findExactly(address, port) ?? addresses.endpointAt(address, port),
    protocolOf: (address, appPort) => addresses.protocolOf(address, appPort),
  };
}

/** Services by their hosts. */
class HostTable {
  readonly #withPort = new Map<string, CompiledService>();
  readonly #withoutPort = new Map<string, CompiledService>();
  readonly #namespace: string;

  constructor(sorted: readonly CompiledService[], namespace: string) {
    this.#namespace = namespace;
    for (const service of sorted) {
      for (const host of service.resource.spec.hosts) {
        const authority = parseAuthority(host.toLowerCase());
        if (authority === undefined) continue; // refused at load
        if (isBareName(authority.host) && service.resource.namespace !== namespace) continue;
        const name = canonicalAddress(authority.host);
        if (authority.port !== undefined) addFirst(this.#withPort, `${name} ${authority.port}`, service);
        else addFirst(this.#withoutPort, name, service);
      }
    }
  }

  /**
   * By a host, or by HOSTNAME.HOST of an endpoint. Where HOST is a bare name of the own namespace, no other namespace's host goes
   * before it, not even while that endpoint is away: in Kubernetes HOSTNAME.HOST is a pod of a StatefulSet.
   */
  find(host: string, port: number): Service | undefined {
    const exact = this.findExactly(host, port);
    const dot = host.indexOf('.');
    if (dot < 1 || exact?.namespace === this.#namespace) return exact;
    const rest = host.slice(dot + 1);
    const hidesOthers = isBareName(rest) && this.#withoutPort.has(rest);
    if (exact !== undefined && !hidesOthers) return exact;
    return isIP(rest) === 0 ? this.#claimant(rest, port)?.atHostname(host.slice(0, dot), port) : undefined;
  }

  findExactly(host: string, port: number): Service | undefined {
    return this.#claimant(host, port)?.at(port);
  }

  #claimant(host: string, port: number): CompiledService | undefined {
    const exact = this.#withPort.get(`${host} ${port}`);
    if (exact !== undefined) return exact;
    const found = this.#withoutPort.get(host);
    return found?.hasPort(port) === true ? found : undefined;
  }
}

function addFirst<T>(map: Map<string, T>, key: string, value: T): void {
  if (!map.has(key)) map.set(key, value);
}
