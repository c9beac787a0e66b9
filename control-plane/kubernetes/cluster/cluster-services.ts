import { scopedHost } from '#policy/resource/check-resource-set.ts';
import type { ResourceDocument } from '#policy/resource-set.ts';
import type { Mesh } from '#policy/workload-policy.ts';
import { objectKey } from '../api-object.ts';
import { documentFault } from '../resources/document-fault.ts';
import type { ClusterPod, ClusterService, EndpointSlice } from './cluster-objects.ts';
import { aliasedService, hostsOf, meshServicesOf } from './mesh-service-of.ts';

export interface ClusterServicesOptions {
  readonly mesh: Mesh;
  readonly clusterDomain: string;
  readonly pod: (key: string) => ClusterPod | undefined;
}

/**
 * The cluster's Services as MeshServices. Each is made anew only when it, one of its slices or one of its pods has changed
 * in something that shows; one that comes out the same stays the very same object. Each is read when it is made, since
 * anybody may write a Service: one that no reader takes keeps its last good form, or is left out, and all others go on.
 */
export class ClusterServices {
  readonly #options: ClusterServicesOptions;
  readonly #services = new Map<string, ClusterService>();
  readonly #slices = new Map<string, Map<string, EndpointSlice>>();
  /** Keys of Services by key of a pod that a slice of theirs names. */
  readonly #servicesByPod = new Map<string, Set<string>>();
  readonly #documents = new Map<string, readonly ResourceDocument[]>();
  readonly #claims = new Map<string, string>();
  /** Keys of ExternalNames by key of the Service that they may be an alias of. */
  readonly #aliases = new Map<string, Set<string>>();
  readonly #faults = new Map<string, string>();
  readonly #dirty = new Set<string>();

  constructor(options: ClusterServicesOptions) {
    this.#options = options;
  }

  serviceChanged(key: string, service: ClusterService | undefined, previous: ClusterService | undefined): void {
    if (previous !== undefined) {
      for (const scope of this.#scopes(previous)) if (this.#claims.get(scope) === key) this.#claims.delete(scope);
      this.#forgetAlias(key, previous);
    }
    if (this.#services.has(key) !== (service !== undefined)) {
      for (const alias of this.#aliases.get(key) ?? []) this.#dirty.add(alias);
    }
    if (service === undefined) {
      this.#services.delete(key);
    } else {
      this.#services.set(key, service);
      for (const scope of this.#scopes(service)) this.#claims.set(scope, key);
      this.#rememberAlias(key, service);
    }
    this.#dirty.add(key);
  }

  sliceChanged(key: string, slice: EndpointSlice | undefined, previous: EndpointSlice | undefined): void {
    if (previous !== undefined) this.#forget(key, previous);
    if (slice === undefined || slice.service === '') return;
    const service = objectKey({ namespace: slice.namespace, name: slice.service });
    const slices = this.#slices.get(service) ?? new Map<string, EndpointSlice>();
    slices.set(key, slice);
    this.#slices.set(service, slices);
    for (const pod of podsOf(slice)) {
      const services = this.#servicesByPod.get(pod) ?? new Set<string>();
      services.add(service);
      this.#servicesByPod.set(pod, services);
    }
    this.#dirty.add(service);
  }

  podChanged(key: string): void {
    for (const service of this.#servicesByPod.get(key) ?? []) this.#dirty.add(service);
  }

  /** Makes anew what has changed; true when any document came out another. */
  refresh(): boolean {
    let isChanged = false;
    for (const key of this.#dirty) {
      const before = this.#documents.get(key) ?? [];
      const after = this.#readable(key, before);
      if (after.length === before.length && after.every((one) => before.includes(one))) continue;
      isChanged = true;
      if (after.length === 0) this.#documents.delete(key);
      else this.#documents.set(key, after);
    }
    this.#dirty.clear();
    return isChanged;
  }

  /** Why a Service, by its key, is in force in an older form, or in part, or not at all. */
  get faults(): ReadonlyMap<string, string> {
    return this.#faults;
  }

  *documents(): Iterable<ResourceDocument> {
    for (const documents of this.#documents.values()) yield* documents;
  }

  /** The Service that a host, spelled by `scopedHost`, belongs to. */
  claimant(scope: string): { readonly namespace: string; readonly name: string } | undefined {
    const key = this.#claims.get(scope);
    return key === undefined ? undefined : this.#services.get(key);
  }

  /** EndpointSlices of a Service, given as NAMESPACE/NAME. */
  slicesOf(key: string): readonly EndpointSlice[] {
    return [...(this.#slices.get(key)?.values() ?? [])];
  }

  has(key: string): boolean {
    return this.#services.has(key);
  }

  /** What is to be in force of a Service. */
  #readable(key: string, before: readonly ResourceDocument[]): readonly ResourceDocument[] {
    const made = this.#documentsOf(key).map((one) => before.find(isSameAs(one)) ?? one);
    const faults = new Map<ResourceDocument, string>();
    for (const one of made) {
      const fault = before.includes(one) ? undefined : documentFault(one, this.#options.mesh);
      if (fault !== undefined) faults.set(one, fault);
    }
    if (faults.size === 0) this.#faults.delete(key);
    else this.#faults.set(key, [...faults.values()].join('; '));
    return faults.size > 0 && before.length > 0 ? before : made.filter((one) => !faults.has(one));
  }

  #documentsOf(key: string): readonly ResourceDocument[] {
    const service = this.#services.get(key);
    if (service === undefined) return [];
    const { clusterDomain, pod } = this.#options;
    return meshServicesOf({
      service,
      slices: this.slicesOf(key),
      pod: (namespace, name) => pod(objectKey({ namespace, name })),
      isService: (namespace, name) => this.has(objectKey({ namespace, name })),
      clusterDomain,
    });
  }

  #scopes(service: ClusterService): readonly string[] {
    return hostsOf(service, this.#options.clusterDomain).map((host) => scopedHost(host, service.namespace));
  }

  #rememberAlias(key: string, service: ClusterService): void {
    const alias = aliasedService(service);
    if (alias === undefined) return;
    const target = objectKey(alias);
    const aliases = this.#aliases.get(target) ?? new Set<string>();
    this.#aliases.set(target, aliases.add(key));
  }

  #forgetAlias(key: string, service: ClusterService): void {
    const alias = aliasedService(service);
    if (alias === undefined) return;
    const target = objectKey(alias);
    const aliases = this.#aliases.get(target);
    aliases?.delete(key);
    if (aliases?.size === 0) this.#aliases.delete(target);
  }

  #forget(key: string, slice: EndpointSlice): void {
    const service = objectKey({ namespace: slice.namespace, name: slice.service });
    const slices = this.#slices.get(service);
    slices?.delete(key);
    if (slices?.size === 0) this.#slices.delete(service);
    const named = new Set([...(slices?.values() ?? [])].flatMap(podsOf));
    for (const pod of podsOf(slice)) {
      if (named.has(pod)) continue;
      const services = this.#servicesByPod.get(pod);
      services?.delete(service);
      if (services?.size === 0) this.#servicesByPod.delete(pod);
    }
    this.#dirty.add(service);
  }
}

function isSameAs(made: ResourceDocument): (other: ResourceDocument) => boolean {
  return ({ key, version }) => key === made.key && version === made.version;
}

function podsOf({ namespace, endpoints }: EndpointSlice): readonly string[] {
  return endpoints.flatMap(({ pod }) => (pod === '' ? [] : [objectKey({ namespace, name: pod })]));
}
