import type { Attached } from '#policy/resource/kinds/attachment.ts';
import type { SourcedResource } from '#policy/resource/sourced-resource.ts';
import type { Mesh } from '#policy/workload-policy.ts';
import type { DocumentPart, LongDocuments } from '../../documents/document-reader.ts';

/** What a key of a ConfigMap holds, as far as it is known. */
export type ConfigMapText =
  | ({ readonly kind: 'text' } & DocumentPart)
  | { readonly kind: 'missing'; readonly reason: string }
  /** Nothing refers to it yet, so that it is not watched. */
  | { readonly kind: 'unknown' };

/** Whose a host is: a Service's always before a MeshService's, then the oldest MeshService's. */
export interface HostClaim {
  readonly kind: 'Service' | 'MeshService';
  readonly namespace: string;
  readonly name: string;
}

/** What has an IP address in the cluster. */
export interface AddressOwner {
  readonly kind: 'Service' | 'Pod';
  readonly namespace: string;
  readonly name: string;
}

/** The cluster as the control plane sees it now; what one object is judged against. */
export interface ClusterView {
  readonly mesh: Mesh;
  readonly namespaces: ReadonlySet<string>;
  configMapText(namespace: string, name: string, key: string): ConfigMapText;
  /** Where long documents are read; undefined: where they are judged. */
  readonly longDocuments?: LongDocuments | undefined;
  /** A host as `scopedHost` spells it. */
  hostClaim(scope: string): HostClaim | undefined;
  /** By IP address, of those given: the Service or living Pod of another namespace that has it. One question, as views may be far. */
  foreignAddresses(addresses: readonly string[], namespace: string): ReadonlyMap<string, AddressOwner>;
  /** The resource of this kind and name whose form is good, however it is called in API groups. */
  good(kind: string, namespace: string, name: string): SourcedResource | undefined;
  /** All resources whose forms are good. */
  allGood(): Iterable<SourcedResource>;
  /** True when a Service of this name is a MeshService already. */
  isService(namespace: string, name: string): boolean;
  /** NAMESPACE/NAME of the MeshDefaults in force, where one is. */
  readonly meshDefaults: string | undefined;
  /** Living Pods that a policy binds. */
  countWorkloads(policy: Attached): number;
  /** Of these ServiceAccounts, NAMESPACE/NAME each, those that are there. */
  serviceAccountsAmong(names: readonly string[]): ReadonlySet<string>;
  /** Services of a namespace (undefined: of all) as MeshServices. */
  declaredServices(namespace: string | undefined): readonly SourcedResource[];
}
