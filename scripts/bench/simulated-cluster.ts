import { createServer, type ServerResponse } from 'node:http';
import { portOf } from '../../test/support/free-ports.ts';

export const NAMESPACES = 50;

type Item = {
  metadata: { name: string; namespace?: string; resourceVersion: string; [key: string]: unknown };
  [key: string]: unknown;
};

/** The collections of a cluster, listed and watched as an API server would have it. */
export class SimulatedCluster {
  readonly #collections = new Map<string, Map<string, Item>>();
  readonly #watchers = new Map<string, Set<ServerResponse>>();
  #version = 1;

  put(
    path: string,
    item: { metadata: { name: string; namespace?: string; [key: string]: unknown }; [key: string]: unknown },
  ): void {
    const collection = this.#collections.get(path) ?? new Map<string, Item>();
    this.#collections.set(path, collection);
    const key = `${item.metadata.namespace}/${item.metadata.name}`;
    const type = collection.has(key) ? 'MODIFIED' : 'ADDED';
    const object = {
      ...item,
      metadata: { ...item.metadata, resourceVersion: String(++this.#version), generation: this.#version },
    };
    collection.set(key, object);
    for (const watcher of this.#watchers.get(path) ?? []) watcher.write(`${JSON.stringify({ type, object })}\n`);
  }

  async serve(): Promise<{ port: number; close(): void }> {
    const server = createServer((request, response) => {
      const url = new URL(request.url ?? '/', 'http://cluster');
      const path = url.pathname;
      if (path === '/apis/lateral.dev/v1alpha1') return json(response, { resources: KINDS });
      if (path.startsWith('/apis/') && path.split('/').length === 4) return json(response, {}, 404);
      if (url.searchParams.has('watch')) {
        const watchers = this.#watchers.get(path) ?? new Set();
        this.#watchers.set(path, watchers.add(response));
        response.writeHead(200, { 'content-type': 'application/json' });
        response.flushHeaders();
        return undefined;
      }
      if (request.method !== 'GET') return json(response, {}, 404);
      const items = [...(this.#collections.get(path)?.values() ?? [])];
      return json(response, { metadata: { resourceVersion: String(this.#version) }, items });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return { port: portOf(server), close: () => server.closeAllConnections() };
  }
}

const KINDS = [
  { name: 'authorizationpolicies', kind: 'AuthorizationPolicy' },
  { name: 'meshdefaults', kind: 'MeshDefaults' },
];

function json(response: ServerResponse, body: unknown, status = 200): undefined {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

export const POLICIES = '/apis/lateral.dev/v1alpha1/authorizationpolicies';
export const SLICES = '/apis/discovery.k8s.io/v1/endpointslices';
export const namespaceOf = (service: number) => `ns-${service % NAMESPACES}`;
const podsOf = (service: number) =>
  [0, 1].map((one) => ({ name: `s${service}-${one}`, address: `10.${service >> 8}.${service & 255}.${one + 1}` }));

export function slice(service: number, ready = true) {
  return {
    metadata: {
      name: `s${service}-x`,
      namespace: namespaceOf(service),
      labels: { 'kubernetes.io/service-name': `s${service}` },
    },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080 }],
    endpoints: podsOf(service).map(({ name, address }, index) => ({
      addresses: [address],
      conditions: { ready: ready || index === 0 },
      targetRef: { kind: 'Pod', name },
    })),
  };
}

export function policy(service: number, path: string) {
  return {
    metadata: { name: `s${service}`, namespace: namespaceOf(service) },
    spec: { selector: { matchLabels: { app: `s${service}` } }, rules: [{ to: [{ operation: { paths: [path] } }] }] },
  };
}

export function fill(cluster: SimulatedCluster, services: number): void {
  for (let n = 0; n < NAMESPACES; n += 1) cluster.put('/api/v1/namespaces', { metadata: { name: `ns-${n}` } });
  for (let s = 0; s < services; s += 1) {
    const namespace = namespaceOf(s);
    for (const { name, address } of podsOf(s)) {
      cluster.put('/api/v1/pods', {
        metadata: {
          name,
          namespace,
          labels: { app: `s${s}`, 'pod-template-hash': 'abcdef1234', version: 'v1' },
          annotations: { 'lateral.dev/injected': '{"interception":"redirect","inbound":{}}' },
        },
        spec: { serviceAccountName: `s${s}` },
        status: { phase: 'Running', podIPs: [{ ip: address }] },
      });
    }
    cluster.put('/api/v1/services', {
      metadata: { name: `s${s}`, namespace },
      spec: {
        type: 'ClusterIP',
        clusterIPs: [`10.96.${s >> 8}.${s & 255}`],
        ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
      },
    });
    cluster.put(SLICES, slice(s));
    cluster.put(POLICIES, policy(s, '/first'));
  }
}
