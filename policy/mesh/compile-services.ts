import { spiffeId } from '../identity/spiffe-id.ts';
import { compareServices, isBareName } from '../resource/check-resource-set.ts';
import type { Resource } from '../resource/kind.ts';
import type { MeshServiceSpec } from '../resource/kinds/mesh-service.ts';
import type { Mesh, Service, ServiceRegistry, Workload } from '../workload-policy.ts';
import { parseAuthority } from './parse-authority.ts';

/** A service with the ports of its authorities; undefined: any. */
interface PortedService {
  readonly service: Service;
  readonly ports: ReadonlySet<number> | undefined;
}

/** Port of an authority that has none. */
const DEFAULT_PORT = 80;

/**
 * Compiles the services a workload can call. A host claimed twice goes to the first by namespace and name; bare
 * names are those of the workload's own namespace.
 */
export function compileServices(
  services: readonly Resource<MeshServiceSpec>[],
  workload: Pick<Workload, 'namespace'>,
  mesh: Mesh,
): ServiceRegistry {
  const withPort = new Map<string, Service>();
  const withoutPort = new Map<string, PortedService>();
  const sorted = [...services].sort(compareServices);
  const compiled = sorted.map((resource) => {
    const service = compileService(resource, mesh);
    const ports = resource.spec.ports === undefined ? undefined : new Set(resource.spec.ports.map(({ port }) => port));
    for (const host of resource.spec.hosts) {
      const authority = parseAuthority(host.toLowerCase());
      if (authority === undefined) continue; // refused at load
      if (isBareName(authority.host) && resource.namespace !== workload.namespace) continue;
      if (authority.port !== undefined) addFirst(withPort, `${authority.host} ${authority.port}`, service);
      else addFirst(withoutPort, authority.host, { service, ports });
    }
    return service;
  });

  function resolveParsed(text: string): Service | undefined {
    const authority = parseAuthority(text.toLowerCase());
    if (authority === undefined) return undefined;
    const { port = DEFAULT_PORT } = authority;
    const host = authority.host.endsWith('.') ? authority.host.slice(0, -1) : authority.host; // the root's dot
    const exact = withPort.get(`${host} ${port}`);
    if (exact !== undefined) return exact;
    const found = withoutPort.get(host);
    if (found === undefined) return undefined;
    return found.ports === undefined || found.ports.has(port) ? found.service : undefined;
  }

  // The spellings that nearly every caller uses are one lookup; any other is taken apart.
  const bySpelling = new Map<string, Service>();
  for (const spelling of usualSpellings(sorted)) {
    const service = resolveParsed(spelling);
    if (service !== undefined) bySpelling.set(spelling, service);
  }
  return { services: compiled, resolve: (text) => bySpelling.get(text) ?? resolveParsed(text) };
}

function* usualSpellings(services: readonly Resource<MeshServiceSpec>[]) {
  for (const { spec } of services) {
    for (const host of spec.hosts) {
      yield host;
      for (const { port } of spec.ports ?? []) yield `${host}:${port}`;
    }
  }
}

function compileService({ namespace, name, spec }: Resource<MeshServiceSpec>, mesh: Mesh): Service {
  const endpoints = spec.endpoints.map(({ address, port, serviceAccount, labels }) => ({
    address,
    port,
    identity: spiffeId(mesh.trustDomain, namespace, serviceAccount),
    labels,
  }));
  return { namespace, name, endpoints };
}

function addFirst<T>(map: Map<string, T>, key: string, value: T): void {
  if (!map.has(key)) map.set(key, value);
}
