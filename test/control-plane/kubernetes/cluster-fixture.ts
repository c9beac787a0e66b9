import { clusterPodOf, clusterServiceOf, endpointSliceOf } from '#control-plane/kubernetes/cluster/cluster-objects.ts';
import { ClusterState, type ClusterStateOptions } from '#control-plane/kubernetes/cluster/cluster-state.ts';
import { meshObjectOf } from '#control-plane/kubernetes/resources/mesh-objects.ts';
import { readDocuments } from '#policy/snapshot/read-documents.ts';
import { MESH } from '../control-plane-fixture.ts';

export type Fields = { readonly [field: string]: unknown };

/** A cluster with the namespaces shop and lateral-system, told of its objects as the API server has them. */
export class TestCluster {
  readonly state: ClusterState;
  #generation = 0;

  constructor(options: Partial<ClusterStateOptions> = {}) {
    this.state = new ClusterState({
      mesh: MESH,
      clusterDomain: 'cluster.local',
      meshDefaults: undefined,
      configMapText: () => ({ kind: 'unknown' }),
      onChange: () => {},
      ...options,
    });
    for (const name of ['shop', MESH.rootNamespace]) this.state.namespaceChanged(name, true);
  }

  service(name: string, spec: Fields, previous?: Fields): void {
    const of = (one: Fields) => clusterServiceOf({ metadata: { name, namespace: 'shop' }, spec: one });
    this.state.serviceChanged(`shop/${name}`, of(spec), previous === undefined ? undefined : of(previous));
  }

  /** The one slice of a Service; its port is `http`. */
  slice(service: string, endpoints: readonly Fields[], port: unknown = 8080): void {
    const metadata = { name: service, namespace: 'shop', labels: { 'kubernetes.io/service-name': service } };
    const slice = { metadata, addressType: 'IPv4', ports: [{ name: 'http', port }], endpoints };
    this.state.sliceChanged(`shop/${service}`, endpointSliceOf(slice), undefined);
  }

  pod(name: string, annotations: Fields = {}): void {
    const metadata = { name, namespace: 'shop', annotations };
    this.podObject({ metadata, spec: {}, status: { podIPs: [{ ip: '10.0.0.1' }] } });
  }

  /** A pod of the namespace shop, as the API server has it. */
  podObject(object: Fields & { readonly metadata: { readonly name: string } }): void {
    const key = `shop/${object.metadata.name}`;
    this.state.podChanged(key, clusterPodOf(object), this.state.pods.get(key));
  }

  /** Returns its key. */
  resource(kind: string, name: string, spec: unknown, { group = 'lateral.dev', ...more }: ResourceFields = {}): string {
    const version = group === 'lateral.dev' ? 'v1alpha1' : 'v1';
    this.#generation += 1;
    const metadata = {
      name,
      namespace: 'shop',
      uid: name,
      resourceVersion: String(this.#generation),
      generation: this.#generation,
      ...more.metadata,
    };
    const object = meshObjectOf({ ...more, metadata, spec }, { group, version, kind, plural: kind.toLowerCase() });
    if (object === undefined) throw new Error('no object');
    this.state.resourceChanged(object.key, object);
    return object.key;
  }

  /** Specs in force by key; throws where the readers of the mesh would refuse any of them. */
  inForce(): { readonly [key: string]: unknown } {
    this.state.refresh();
    const documents = this.state.documents();
    readDocuments(documents, MESH);
    return Object.fromEntries(documents.map(({ key, document }) => [key, JSON.parse(document).spec]));
  }
}

interface ResourceFields {
  readonly group?: string;
  readonly metadata?: Fields;
  readonly status?: Fields;
}
