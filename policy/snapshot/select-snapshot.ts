import { isForSidecars } from '../resource/kinds/authorization-policy.ts';
import { selects, type WorkloadSelector } from '../resource/kinds/workload-selector.ts';
import { resourceKey, snapshotOf } from '../resource/resource-document.ts';
import type { ResourceDocument, Snapshot } from '../resource-set.ts';
import type { Mesh, Workload } from '../workload-policy.ts';
import { type ReadDocument, readDocuments } from './read-documents.ts';

/** All resources of the mesh, read once, from which each workload's snapshot is taken. */
export interface ResourceIndex {
  /** Workloads that need the same resources get the very same snapshot object. */
  select(workload: Pick<Workload, 'namespace' | 'labels'>): Snapshot;
  /** What the next index of the same mesh takes over. */
  readonly kept: KeptIndex;
}

interface KeptIndex {
  /** By the very document. */
  readonly read: WeakMap<ResourceDocument, IndexedDocument>;
  /** What every workload needs. */
  readonly shared: readonly ResourceDocument[];
  /** By the policies and schemas that make up the rest. */
  readonly snapshots: ReadonlyMap<string, Snapshot>;
}

/** What of a document is needed to choose among them. */
interface IndexedDocument {
  readonly namespace: string;
  readonly isShared: boolean;
  readonly isSchema: boolean;
  readonly policy: BindingPolicy | undefined;
}

/** A policy, and what else its workloads need. */
interface BindingPolicy {
  readonly source: ResourceDocument;
  readonly selector: WorkloadSelector | undefined;
  /** Keys of the APISchemas it names. */
  readonly schemaKeys: readonly string[];
}

/** Snapshots kept by an index: one for each distinct combination of policies. */
const MAX_KEPT_SNAPSHOTS = 10_000;

/** The snapshot of one workload; for many workloads, index once and select from it. */
export function selectSnapshot(resources: readonly ResourceDocument[], workload: Workload, mesh: Mesh): Snapshot {
  return indexResources(resources, mesh).select(workload);
}

/**
 * Indexes the resources of the mesh. A snapshot holds the policies that bind the workload, the schemas these
 * name, MeshDefaults and every MeshService. Documents and snapshots that `previous` has already are taken from it. Throws
 * `SnapshotError` where a document cannot be read.
 */
export function indexResources(
  resources: readonly ResourceDocument[],
  mesh: Mesh,
  previous?: ResourceIndex,
): ResourceIndex {
  const read = previous?.kept.read ?? new WeakMap<ResourceDocument, IndexedDocument>();
  for (const document of readDocuments(
    resources.filter((one) => !read.has(one)),
    mesh,
  )) {
    read.set(document.source, indexed(document));
  }
  const shared: ResourceDocument[] = [];
  const policies = new Map<string, BindingPolicy[]>();
  const schemas = new Map<string, ResourceDocument>();
  for (const source of resources) {
    const document = read.get(source);
    if (document === undefined) continue; // read just above
    const { namespace, policy } = document;
    if (document.isShared) shared.push(source);
    if (document.isSchema) schemas.set(source.key, source);
    if (policy === undefined) continue;
    const others = policies.get(namespace);
    if (others === undefined) policies.set(namespace, [policy]);
    else others.push(policy);
  }
  // Sorted once: each snapshot then is two sorted runs, which take next to no time to be made one.
  shared.sort(byKey);
  const isSharedKept = previous !== undefined && isSame(previous.kept.shared, shared);
  const before = isSharedKept ? previous.kept.snapshots : new Map<string, Snapshot>();
  const snapshots = new Map<string, Snapshot>();

  function select(workload: Pick<Workload, 'namespace' | 'labels'>): Snapshot {
    const namespaces = new Set([workload.namespace, mesh.rootNamespace]);
    const binding = [...namespaces].flatMap((namespace) =>
      (policies.get(namespace) ?? []).filter(({ selector }) =>
        selects(namespace, selector, workload, mesh.rootNamespace),
      ),
    );
    const named = new Set(binding.flatMap(({ schemaKeys }) => schemaKeys));
    const own = [...binding.map(({ source }) => source), ...[...named].flatMap((key) => schemas.get(key) ?? [])];
    const combination = own.map(({ key, version }) => `${key}@${version}`).join('\n');
    const known = snapshots.get(combination);
    if (known !== undefined) return known;
    const snapshot = before.get(combination) ?? snapshotOf([...shared, ...own.sort(byKey)]);
    if (snapshots.size >= MAX_KEPT_SNAPSHOTS) snapshots.clear();
    snapshots.set(combination, snapshot);
    return snapshot;
  }

  return { select, kept: { read, shared, snapshots } };
}

function byKey(left: ResourceDocument, right: ResourceDocument): number {
  return left.key < right.key ? -1 : 1;
}

function isSame(left: readonly ResourceDocument[], right: readonly ResourceDocument[]): boolean {
  return left.length === right.length && left.every((one, index) => one === right[index]);
}

function indexed(document: ReadDocument): IndexedDocument {
  const { type, resource } = document.any;
  return {
    namespace: resource.namespace,
    isShared: type === 'MeshService' || type === 'MeshDefaults',
    isSchema: type === 'APISchema',
    policy: bindingPolicy(document),
  };
}

function bindingPolicy({ any, source }: ReadDocument): BindingPolicy | undefined {
  if (any.type === 'AuthorizationPolicy' && isForSidecars(any.resource.spec)) {
    return { source, selector: any.resource.spec.selector, schemaKeys: [] };
  }
  if (any.type === 'PeerAuthentication') return { source, selector: any.resource.spec.selector, schemaKeys: [] };
  if (any.type !== 'APIValidationPolicy') return undefined;
  const { namespace, spec } = any.resource;
  const schemaKeys = spec.schemaRefs.map((name) => resourceKey('APISchema', namespace, name));
  return { source, selector: spec.selector, schemaKeys };
}
