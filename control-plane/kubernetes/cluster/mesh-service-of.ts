import { isIP } from 'node:net';
import { MAX_ENDPOINTS } from '#policy/resource/kinds/mesh-service.ts';
import { resourceDocument } from '#policy/resource/resource-document.ts';
import type { ResourceDocument } from '#policy/resource-set.ts';
import type {
  ClusterPod,
  ClusterService,
  ClusterServicePort,
  EndpointSlice,
  SliceEndpoint,
} from './cluster-objects.ts';
import { portProtocol } from './port-protocol.ts';

/** Ports of one Service that are taken; as many as a MeshService may have. */
const MAX_PORTS = 256;
/** Hosts that one MeshService may have. */
const MAX_HOSTS = 256;
/** What a ExternalName without ports is called on. */
const HTTP_PORT = 80;

/** A Service with all that its MeshService is made of. */
export interface ServiceFacts {
  readonly service: ClusterService;
  readonly slices: readonly EndpointSlice[];
  /** Undefined: not known (yet). */
  readonly pod: (namespace: string, name: string) => ClusterPod | undefined;
  readonly isService: (namespace: string, name: string) => boolean;
  readonly clusterDomain: string;
}

/**
 * What a Service is to the mesh: one MeshService of its name. Where some endpoints do not have all ports (named ports that
 * not every pod has, listeners of mode none, ports that are excluded from the mesh), the other ports are MeshServices of their
 * own, `NAME.PORT`, as many as it takes for all their hosts. None where it has no TCP port, or is an alias of another name in
 * the cluster.
 */
export function meshServicesOf(facts: ServiceFacts): readonly ResourceDocument[] {
  const { service, clusterDomain } = facts;
  const { namespace, name } = service;
  if (service.type === 'ExternalName') return externalService(facts);
  const ports = service.ports.filter(({ transport }) => transport === 'TCP').slice(0, MAX_PORTS);
  const reached = ports.map((port) => ({ port, endpoints: endpointsOfPort(port, facts) }));
  const groups = Map.groupBy(reached, ({ endpoints }) => [...endpoints.values()].map(shownEndpoint).join(' '));
  const hosts = hostsOf(service, clusterDomain);
  // Beside the first each port has all hosts with it as their port.
  const portsOfOne = Math.max(1, Math.floor(MAX_HOSTS / hosts.length));
  const parts = [...groups.values()].flatMap((group, index) => (index === 0 ? [group] : chunksOf(group, portsOfOne)));
  return parts.map((group, index) => {
    return documentOf(namespace, index === 0 ? name : `${name}.${group[0]?.port.port ?? 0}`, {
      hosts: index === 0 ? hosts : hosts.flatMap((host) => group.map(({ port }) => withPort(host, port.port))),
      ports: group.map(({ port }) => shownPort(port)),
      endpoints: joined(group),
      ...(Object.keys(service.selector).length === 0 ? {} : { selector: service.selector }),
    });
  });
}

/** Every spelling by which a Service is called from a pod; its pods know more of its own namespace than others do. */
export function hostsOf(service: Pick<ClusterService, 'namespace' | 'name' | 'addresses'>, clusterDomain: string) {
  const { namespace, name, addresses } = service;
  const cluster = [`${name}.${namespace}`, `${name}.${namespace}.svc`, `${name}.${namespace}.svc.${clusterDomain}`];
  return [name, ...cluster, ...addresses];
}

interface Endpoint {
  readonly address: string;
  readonly serviceAccount?: string;
  readonly plaintext?: true;
  readonly hostname?: string;
  readonly labels?: { readonly [key: string]: string };
}

interface PortEndpoint {
  readonly endpoint: Endpoint;
  /** At this endpoint, for the port of the Service in question. */
  readonly port: number;
  /** Of the app: another than `port` where connections are not redirected. */
  readonly appPort: number;
}

/** Ports whose endpoints show alike can be of one MeshService. */
function shownEndpoint({ endpoint: { address, plaintext } }: PortEndpoint): string {
  return plaintext === true ? `${address} plaintext` : address;
}

interface ReachedPort {
  readonly port: ClusterServicePort;
  readonly endpoints: ReadonlyMap<string, PortEndpoint>;
}

/** The endpoints that serve a port, by address, sorted. */
function endpointsOfPort({ name }: ClusterServicePort, facts: ServiceFacts): ReadonlyMap<string, PortEndpoint> {
  const { service, slices, pod: podOf } = facts;
  const found = new Map<string, PortEndpoint>();
  const familyOfPod = new Map<string, { readonly family: string; readonly address: string }>();
  for (const slice of slices) {
    const target = slice.ports.find((port) => port.name === name)?.port;
    if (target === undefined) continue;
    for (const one of slice.endpoints) {
      const [address] = one.addresses;
      if (address === undefined || !(one.isReady || service.publishesNotReady)) continue;
      const pod = one.pod === '' ? undefined : podOf(slice.namespace, one.pod);
      // A pod that is not known yet may have a sidecar: nothing goes to it in plaintext meanwhile.
      if (one.pod !== '' && (pod === undefined || !pod.isAlive)) continue;
      // Anybody may write a slice: the address of another's pod is not taken for one's own.
      if (pod !== undefined && !pod.addresses.includes(address)) continue;
      const port = pod === undefined ? target : portOfPod(pod, target);
      if (port === undefined) continue;
      const other = familyOfPod.get(one.pod);
      if (one.pod !== '' && other !== undefined && other.family !== slice.family) {
        if (slice.family !== service.firstFamily) continue;
        found.delete(other.address);
      }
      familyOfPod.set(one.pod, { family: slice.family, address });
      found.set(address, { endpoint: endpointOf(address, one, pod, target), port, appPort: target });
    }
  }
  return new Map([...found].sort(([left], [right]) => (left < right ? -1 : 1)).slice(0, MAX_ENDPOINTS));
}

/** Where a port of a pod is reached; undefined: not through the mesh, whose rule it is under. */
function portOfPod({ injected, isHostNetwork }: ClusterPod, appPort: number): number | undefined {
  if (injected === undefined || isHostNetwork || injected.interception === 'redirect') return appPort;
  return injected.inbound[appPort];
}

function endpointOf(
  address: string,
  { hostname }: SliceEndpoint,
  pod: ClusterPod | undefined,
  appPort: number,
): Endpoint {
  // A pod in the host's network shares its address with others: no redirection is its own.
  const isMeshed = pod?.injected !== undefined && !pod.isHostNetwork && !pod.injected.excludedPorts.includes(appPort);
  return {
    address,
    ...(isMeshed ? { serviceAccount: pod.serviceAccount } : { plaintext: true }),
    ...(hostname === '' ? {} : { hostname }),
    ...(pod === undefined || Object.keys(pod.labels).length === 0 ? {} : { labels: pod.labels }),
  };
}

/** The endpoints of ports that all of them have: `port` of the first, and `ports` for those that differ. */
function joined(group: readonly ReachedPort[]) {
  const [first] = group;
  if (first === undefined) return [];
  return [...first.endpoints].map(([address, { endpoint, port, appPort }]) => {
    const others = group.map((other) => {
      const its = other.endpoints.get(address) ?? { port, appPort };
      return { servicePort: other.port.port, ...its };
    });
    return {
      ...endpoint,
      port,
      ...byServicePort('ports', others, (its) => (its.port === port ? undefined : its.port)),
      ...(appPort === port ? {} : { appPort }),
      ...byServicePort('appPorts', others, (its) => {
        const understood = its.port === port ? appPort : its.port;
        return its.appPort === understood ? undefined : its.appPort;
      }),
    };
  });
}

type ServedPort = Pick<PortEndpoint, 'port' | 'appPort'> & { readonly servicePort: number };

/** A field of an endpoint that says what is not understood by itself; none where all is. */
function byServicePort(
  field: 'ports' | 'appPorts',
  all: readonly ServedPort[],
  said: (its: ServedPort) => number | undefined,
): { readonly [field: string]: { readonly [servicePort: string]: number } } {
  const entries = all.flatMap((its) => {
    const port = said(its);
    return port === undefined ? [] : [[String(its.servicePort), port] as const];
  });
  return entries.length === 0 ? {} : { [field]: Object.fromEntries(entries) };
}

/** A name outside of the cluster, reached as it is. An alias of another Service is not of the mesh: call that one. */
function externalService({ service, clusterDomain, isService }: ServiceFacts): readonly ResourceDocument[] {
  const { namespace, name, ports } = service;
  const target = targetOf(service);
  const alias = aliasedService(service);
  const isInCluster =
    target.endsWith(`.svc.${clusterDomain}`) ||
    target.endsWith('.svc') ||
    !target.includes('.') ||
    (alias !== undefined && isService(alias.namespace, alias.name));
  if (target === '' || isInCluster) return [];
  const shown = ports.filter(({ transport }) => transport === 'TCP').slice(0, MAX_PORTS);
  const first = shown[0]?.port ?? HTTP_PORT;
  const different = shown.filter(({ port }) => port !== first).map(({ port }) => [String(port), port] as const);
  const endpoint = { address: target, port: first, plaintext: true };
  return [
    documentOf(namespace, name, {
      hosts: hostsOf({ ...service, addresses: [] }, clusterDomain),
      ports: shown.length === 0 ? [{ port: HTTP_PORT, protocol: 'auto' }] : shown.map(shownPort),
      endpoints: [different.length === 0 ? endpoint : { ...endpoint, ports: Object.fromEntries(different) }],
    }),
  ];
}

function targetOf({ externalName }: ClusterService): string {
  return externalName.toLowerCase().replace(/\.$/, '');
}

/** The Service that an ExternalName of the form NAME.NAMESPACE is an alias of, if there is one of that name. */
export function aliasedService(
  service: ClusterService,
): { readonly namespace: string; readonly name: string } | undefined {
  if (service.type !== 'ExternalName') return undefined;
  const [name = '', namespace, ...rest] = targetOf(service).split('.');
  return namespace === undefined || rest.length > 0 ? undefined : { namespace, name };
}

function chunksOf<T>(all: readonly T[], size: number): readonly (readonly T[])[] {
  return all.flatMap((_one, index) => (index % size === 0 ? [all.slice(index, index + size)] : []));
}

function shownPort(port: ClusterServicePort) {
  return { port: port.port, ...(port.name === '' ? {} : { name: port.name }), protocol: portProtocol(port) };
}

function withPort(host: string, port: number): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}

function documentOf(namespace: string, name: string, spec: unknown): ResourceDocument {
  return resourceDocument({ apiVersion: 'lateral.dev/v1alpha1', kind: 'MeshService', namespace, name, spec });
}
