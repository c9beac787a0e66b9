import { isIPv6 } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import { type TargetService, targetService } from '#policy/mesh/services-behind.ts';
import { scopedHost } from '#policy/resource/check-resource-set.ts';
import { type Attached, targetedServices } from '#policy/resource/kinds/attachment.ts';
import { resourceDocument, resourceKey } from '#policy/resource/resource-document.ts';
import type { SourcedResource } from '#policy/resource/sourced-resource.ts';
import type { ResourceDocument } from '#policy/resource-set.ts';
import { DocumentMemory } from '#policy/snapshot/document-memory.ts';
import type { Mesh } from '#policy/workload-policy.ts';
import type { LongDocuments } from '../../documents/document-reader.ts';
import { objectKey } from '../api-object.ts';
import type { AddressOwner, ClusterView, ConfigMapText, HostClaim } from '../resources/cluster-view.ts';
import type { MeshObject } from '../resources/mesh-objects.ts';
import { MeshResources } from '../resources/mesh-resources.ts';
import type { ClusterPod, ClusterService, EndpointSlice } from './cluster-objects.ts';
import { ClusterPods, type WorkloadCount } from './cluster-pods.ts';
import { ClusterServices } from './cluster-services.ts';
import { namesAddress } from './named-addresses.ts';
import { PodAddresses } from './pod-addresses.ts';

/** Name of the MeshDefaults that stands for the configuration's, where no resource is. */
const CONFIGURED_DEFAULTS = 'configured';

export interface ClusterStateOptions {
  readonly mesh: Mesh;
  readonly clusterDomain: string;
  /** Spec of MeshDefaults, as long as no resource of that kind is in force. */
  readonly meshDefaults: unknown;
  readonly configMapText: (namespace: string, name: string, key: string) => ConfigMapText;
  /** Where long documents are read. Default: where they are judged. */
  readonly longDocuments?: LongDocuments | undefined;
  /** Something changed: `refresh` has something to do. */
  readonly onChange: () => void;
}

/** The cluster as it was last heard of, and what of it is in force. No I/O. */
export class ClusterState implements ClusterView {
  readonly mesh: Mesh;
  readonly namespaces = new Set<string>();
  readonly pods = new ClusterPods();
  /** NAMESPACE/NAME each. Nothing in force depends on them, only what is said of a policy that names one. */
  readonly #serviceAccounts = new Set<string>();
  readonly resources = new MeshResources();
  readonly #podAddresses = new PodAddresses();
  readonly #services: ClusterServices;
  /** Services as they were read last: at each object judged only those that changed are read. */
  readonly #declared: DocumentMemory;
  readonly #options: ClusterStateOptions;
  readonly #configuredDefaults: ResourceDocument | undefined;

  constructor(options: ClusterStateOptions) {
    this.#options = options;
    this.mesh = options.mesh;
    this.#declared = new DocumentMemory(options.mesh);
    this.#services = new ClusterServices({
      mesh: options.mesh,
      clusterDomain: options.clusterDomain,
      pod: (key) => this.pods.get(key),
    });
    this.#configuredDefaults =
      options.meshDefaults === undefined
        ? undefined
        : resourceDocument({
            apiVersion: 'lateral.dev/v1alpha1',
            kind: 'MeshDefaults',
            namespace: options.mesh.rootNamespace,
            name: CONFIGURED_DEFAULTS,
            spec: options.meshDefaults,
          });
  }

  serviceChanged(key: string, service: ClusterService | undefined, previous: ClusterService | undefined): void {
    // Of a Service others see its name and its addresses: a write of its status, or of its ports, moves no host.
    if (isDeepStrictEqual(service, previous)) return;
    this.#services.serviceChanged(key, service, previous);
    if (!isDeepStrictEqual(service?.addresses, previous?.addresses)) this.resources.hostsChanged();
    this.#options.onChange();
  }

  sliceChanged(key: string, slice: EndpointSlice | undefined, previous: EndpointSlice | undefined): void {
    this.#services.sliceChanged(key, slice, previous);
    this.#options.onChange();
  }

  podChanged(key: string, pod: ClusterPod | undefined, previous: ClusterPod | undefined): void {
    if (!this.pods.changed(key, pod, previous)) return;
    this.#services.podChanged(key);
    const addresses = this.#podAddresses.changed(pod, previous);
    if (addresses.some((address) => this.#isNamed(address))) this.resources.hostsChanged();
    this.#options.onChange();
  }

  namespaceChanged(name: string, isThere: boolean): void {
    if (this.namespaces.has(name) === isThere) return;
    if (isThere) this.namespaces.add(name);
    else this.namespaces.delete(name);
    this.resources.hostsChanged();
    this.#options.onChange();
  }

  serviceAccountChanged(key: string, isThere: boolean): void {
    if (isThere) this.#serviceAccounts.add(key);
    else this.#serviceAccounts.delete(key);
  }

  resourceChanged(key: string, object: MeshObject | undefined): void {
    this.resources.changed(key, object);
    this.#options.onChange();
  }

  configMapChanged(namespace: string, name: string): void {
    this.resources.configMapChanged(namespace, name);
    this.#options.onChange();
  }

  /** A document that was being read is there. */
  documentRead(): void {
    this.resources.documentRead();
    this.#options.onChange();
  }

  /** Takes all changes in; true when anything in force, or found, came out another. */
  refresh(): boolean {
    const hasOtherServices = this.#services.refresh();
    return this.resources.refresh(this) || hasOtherServices;
  }

  /** Why a Service, by its key, is in force in an older form, or in part, or not at all. */
  get serviceFaults(): ReadonlyMap<string, string> {
    return this.#services.faults;
  }

  /** All that is in force, sorted by key. */
  documents(): readonly ResourceDocument[] {
    const resources = this.resources.documents();
    const hasDefaults = resources.some(({ key }) => key.startsWith('MeshDefaults/'));
    const defaults = hasDefaults || this.#configuredDefaults === undefined ? [] : [this.#configuredDefaults];
    // Should ever two have one key, the resource that somebody wrote stands.
    const byKey = new Map([...this.#services.documents(), ...defaults, ...resources].map((one) => [one.key, one]));
    return [...byKey.values()].sort((left, right) => (left.key < right.key ? -1 : 1));
  }

  /** Ready endpoints of a Service's port, as HOST:PORT, but those of one pod. */
  addressesOf(service: string, portName: string, exceptPod: string): readonly string[] {
    return this.#services.slicesOf(service).flatMap(({ ports, endpoints }) => {
      const port = ports.find(({ name }) => name === portName)?.port;
      if (port === undefined) return [];
      return endpoints.flatMap(({ addresses: [address], isReady, pod }) => {
        if (address === undefined || !isReady || pod === exceptPod) return [];
        return [isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`];
      });
    });
  }

  get longDocuments(): LongDocuments | undefined {
    return this.#options.longDocuments;
  }

  configMapText(namespace: string, name: string, key: string): ConfigMapText {
    return this.#options.configMapText(namespace, name, key);
  }

  hostClaim(scope: string): HostClaim | undefined {
    const service = this.#services.claimant(scope);
    if (service === undefined) return this.resources.hostClaim(scope);
    return { kind: 'Service', namespace: service.namespace, name: service.name };
  }

  foreignAddresses(addresses: readonly string[], namespace: string): ReadonlyMap<string, AddressOwner> {
    const owners = addresses.map((address) => [address, this.#foreignOwner(address, namespace)] as const);
    return new Map(owners.flatMap(([address, owner]) => (owner === undefined ? [] : [[address, owner]])));
  }

  /** The pod that has this address, unless it shares it with others. */
  podAt(address: string): ClusterPod | undefined {
    const pod = this.#podAddresses.onlyPod(address);
    return pod === undefined ? undefined : this.pods.get(objectKey(pod));
  }

  #foreignOwner(address: string, namespace: string): AddressOwner | undefined {
    const service = this.#services.claimant(scopedHost(address, namespace));
    if (service !== undefined && service.namespace !== namespace) return { kind: 'Service', ...named(service) };
    const pod = this.#podAddresses.foreignPod(address, namespace);
    return pod === undefined ? undefined : { kind: 'Pod', ...named(pod) };
  }

  good(kind: string, namespace: string, name: string): SourcedResource | undefined {
    return this.resources.get(`lateral.dev/${kind}/${namespace}/${name}`)?.good;
  }

  *allGood(): Iterable<SourcedResource> {
    for (const { good } of this.resources.values()) if (good !== undefined) yield good;
  }

  isService(namespace: string, name: string): boolean {
    return this.#services.has(objectKey({ namespace, name }));
  }

  get meshDefaults(): string | undefined {
    for (const { inForce, object } of this.resources.values()) {
      if (object.kind === 'MeshDefaults' && inForce !== undefined) return objectKey(object.metadata);
    }
    return undefined;
  }

  countWorkloads(policy: Attached): number {
    return this.boundPods(policy).pods;
  }

  /** Living Pods that a policy binds, and how many of them have a sidecar that could enforce it. */
  boundPods(policy: Attached): WorkloadCount {
    return this.pods.count(policy, this.#targetsOf(policy), this.mesh.rootNamespace);
  }

  #targetsOf(policy: Attached): readonly TargetService[] {
    const names = new Set(targetedServices(policy));
    if (names.size === 0) return [];
    const { namespace } = policy;
    const declared = [...names].flatMap((name) => this.good('MeshService', namespace, name) ?? []);
    return [...this.declaredServices(namespace), ...declared].flatMap(({ any }) =>
      any.type === 'MeshService' && names.has(any.resource.name) ? [targetService(any.resource)] : [],
    );
  }

  serviceAccountsAmong(names: readonly string[]): ReadonlySet<string> {
    return new Set(names.filter((name) => this.#serviceAccounts.has(name)));
  }

  declaredServices(namespace: string | undefined): readonly SourcedResource[] {
    const prefix = namespace === undefined ? '' : resourceKey('MeshService', namespace, '');
    const declared = this.#declared
      .read([...this.#services.documents()])
      .filter(({ source: { key } }) => key.startsWith(prefix));
    return declared.flatMap(({ any, source }) =>
      any.type !== 'MeshService'
        ? []
        : {
            any,
            file: source.key,
            document: { value: undefined, position: () => ({ line: 1, column: 1 }) },
            prefix: [],
          },
    );
  }

  /** True when a MeshService names this address: whether it may depends on whose that is. */
  #isNamed(address: string): boolean {
    for (const { object } of this.resources.values()) if (namesAddress(object, address)) return true;
    return false;
  }
}

function named({ namespace, name }: { readonly namespace: string; readonly name: string }) {
  return { namespace, name };
}
