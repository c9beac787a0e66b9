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
 * name, MeshDefaults and every MeshService. Throws `SnapshotError` where a document cannot be read.
 */
export function indexResources(resources: readonly ResourceDocument[], mesh: Mesh): ResourceIndex {
  const documents = readDocuments(resources, mesh);
  const shared: ResourceDocument[] = [];
  const policies = new Map<string, BindingPolicy[]>();
  const schemas = new Map<string, ResourceDocument>();
  for (const document of documents) {
    const { any, source } = document;
    if (any.type === 'MeshService' || any.type === 'MeshDefaults') shared.push(source);
    if (any.type === 'APISchema') schemas.set(source.key, source);
    const policy = bindingPolicy(document);
    if (policy === undefined) continue;
    const { namespace } = any.resource;
    const others = policies.get(namespace);
    if (others === undefined) policies.set(namespace, [policy]);
    else others.push(policy);
  }
  const kept = new Map<string, Snapshot>();

  function select(workload: Pick<Workload, 'namespace' | 'labels'>): Snapshot {
    const namespaces = new Set([workload.namespace, mesh.rootNamespace]);
    const binding = [...namespaces].flatMap((namespace) =>
      (policies.get(namespace) ?? []).filter(({ selector }) =>
        selects(namespace, selector, workload, mesh.rootNamespace),
      ),
    );
    const combination = binding.map(({ source }) => source.key).join('\n');
    const known = kept.get(combination);
    if (known !== undefined) return known;
    const named = new Set(binding.flatMap(({ schemaKeys }) => schemaKeys));
    const needed = [...named].flatMap((key) => schemas.get(key) ?? []);
    const snapshot = snapshotOf([...shared, ...binding.map(({ source }) => source), ...needed]);
    if (kept.size >= MAX_KEPT_SNAPSHOTS) kept.clear();
    kept.set(combination, snapshot);
    return snapshot;
  }

  return { select };
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
