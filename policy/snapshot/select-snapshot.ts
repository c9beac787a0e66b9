import { EndpointModes } from '../mtls/endpoint-modes.ts';
import { noteGivenForm, PlaintextMarks } from '../mtls/mark-plaintext.ts';
import type { Resource } from '../resource/kind.ts';
import { isForSidecars } from '../resource/kinds/authorization-policy.ts';
import { effectiveDefaults } from '../resource/kinds/mesh-defaults.ts';
import type { PeerAuthenticationSpec } from '../resource/kinds/peer-authentication.ts';
import { isForSidecars as areTokensForSidecars } from '../resource/kinds/request-authentication.ts';
import { selects, type WorkloadSelector } from '../resource/kinds/workload-selector.ts';
import { resourceKey } from '../resource/resource-document.ts';
import type { ResourceDocument, Snapshot } from '../resource-set.ts';
import type { Mesh, MtlsMode, Workload } from '../workload-policy.ts';
import { ComposedSnapshot, SharedResources } from './composed-snapshot.ts';
import { type ReadDocument, readDocuments } from './read-documents.ts';

/** All resources of the mesh, read once, from which each workload's snapshot is taken. */
export interface ResourceIndex {
  /** Workloads that need the same resources get the very same snapshot object. */
  select(workload: Pick<Workload, 'namespace' | 'labels'>): ComposedSnapshot;
  /** Namespaces of workloads that may get another snapshot than of the index before; undefined: all. */
  readonly concernedNamespaces: ReadonlySet<string> | undefined;
  /** False: the workload gets the very snapshot that it got of the index before. */
  concerns(workload: Pick<Workload, 'namespace' | 'labels'>): boolean;
  /** What the next index of the same mesh takes over. */
  readonly kept: KeptIndex;
}

interface KeptIndex {
  /** By the very document. */
  readonly read: WeakMap<ResourceDocument, IndexedDocument>;
  /** As they were given. */
  readonly given: ReadonlyMap<string, ResourceDocument>;
  readonly marks: PlaintextMarks;
  /** As they travel. */
  readonly byKey: ReadonlyMap<string, ResourceDocument>;
  /** What every workload needs. */
  readonly shared: SharedResources;
  /** By the policies and schemas that make up the rest. */
  readonly snapshots: ReadonlyMap<string, ComposedSnapshot>;
}

/** What of a document is needed to choose among them. */
interface IndexedDocument {
  readonly isShared: boolean;
  readonly isSchema: boolean;
  readonly isService: boolean;
  readonly policy: BindingPolicy | undefined;
  readonly peerAuthentication: Resource<PeerAuthenticationSpec> | undefined;
  /** Mode of MeshDefaults. */
  readonly defaultMode: MtlsMode | undefined;
}

/** A policy, and what else its workloads need. */
interface BindingPolicy {
  readonly source: ResourceDocument;
  readonly namespace: string;
  readonly selector: WorkloadSelector | undefined;
  /** Keys of the APISchemas it names. */
  readonly schemaKeys: readonly string[];
}

/** What every workload needs, whatever binds it. */
const SHARED_TYPES: ReadonlySet<ReadDocument['any']['type']> = new Set([
  'MeshService',
  'MeshDefaults',
  'TrustBundle',
  'RevocationList',
]);

/** Snapshots kept by an index: one for each distinct combination of policies. */
const MAX_KEPT_SNAPSHOTS = 10_000;

/** The snapshot of one workload; for many workloads, index once and select from it. */
export function selectSnapshot(resources: readonly ResourceDocument[], workload: Workload, mesh: Mesh): Snapshot {
  const { version, resources: selected } = indexResources(resources, mesh).select(workload);
  return { version, resources: selected };
}

/**
 * Indexes the resources of the mesh. A snapshot holds the policies that bind the workload, the schemas these
 * name, MeshDefaults and every MeshService, which says where it is reached in plaintext by PeerAuthentication. Documents and snapshots that `previous` has already are taken from it. Throws
 * `SnapshotError` where a document cannot be read.
 */
export function indexResources(
  resources: readonly ResourceDocument[],
  mesh: Mesh,
  previous?: ResourceIndex,
): ResourceIndex {
  const { kept } = previous ?? {};
  const read = kept?.read ?? new WeakMap<ResourceDocument, IndexedDocument>();
  const marks = kept?.marks ?? new PlaintextMarks();
  const given = resources.map((one) => knownOr(one, kept?.given.get(one.key)));
  const fresh = new Map(
    readDocuments(
      given.filter((one) => !read.has(one)),
      mesh,
    ).map((document) => [document.source, document]),
  );
  for (const document of fresh.values()) read.set(document.source, indexed(document));
  const modes = endpointModes(given, read, mesh);
  const readAgain = (one: ResourceDocument) => fresh.get(one) ?? readDocuments([one], mesh)[0];
  const current = given.map((one) => {
    const document = read.get(one);
    if (document?.isService !== true) return one;
    const made = marks.travelling(one, modes, readAgain);
    const travelling = made === one ? one : knownOr(made, kept?.byKey.get(one.key));
    noteGivenForm(travelling, one);
    read.set(travelling, document);
    return travelling;
  });
  const sharedNow: ResourceDocument[] = [];
  const policies = new Map<string, BindingPolicy[]>();
  const schemas = new Map<string, ResourceDocument>();
  for (const source of current) {
    const document = read.get(source);
    if (document === undefined) continue; // read just above
    const { policy } = document;
    if (document.isShared) sharedNow.push(source);
    if (document.isSchema) schemas.set(source.key, source);
    if (policy === undefined) continue;
    const others = policies.get(policy.namespace);
    if (others === undefined) policies.set(policy.namespace, [policy]);
    else others.push(policy);
  }
  const byKey = new Map(current.map((one) => [one.key, one]));
  const changed = kept === undefined ? [] : changedDocuments(kept.byKey, byKey);
  const isSharedKept = kept !== undefined && !changed.some((one) => read.get(one)?.isShared === true);
  const shared = isSharedKept ? kept.shared : new SharedResources(sharedNow);
  const snapshots = new Map(isSharedKept ? withoutThose(kept.snapshots, new Set(changed)) : []);
  const changedPolicies = isSharedKept ? policiesOf(changed, read, policies) : undefined;

  function select(workload: Pick<Workload, 'namespace' | 'labels'>): ComposedSnapshot {
    const namespaces = new Set([workload.namespace, mesh.rootNamespace]);
    const binding = [...namespaces].flatMap((namespace) =>
      (policies.get(namespace) ?? []).filter((policy) => binds(policy, workload, mesh)),
    );
    const named = new Set(binding.flatMap(({ schemaKeys }) => schemaKeys));
    const own = [...binding.map(({ source }) => source), ...[...named].flatMap((key) => schemas.get(key) ?? [])];
    const combination = own.map(({ key, version }) => `${key}@${version}`).join('\n');
    const known = snapshots.get(combination);
    if (known !== undefined) return known;
    const snapshot = new ComposedSnapshot(shared, own);
    if (snapshots.size >= MAX_KEPT_SNAPSHOTS) snapshots.clear();
    snapshots.set(combination, snapshot);
    return snapshot;
  }

  return {
    select,
    concernedNamespaces: namespacesOf(changedPolicies, mesh),
    concerns: (workload) => changedPolicies?.some((policy) => binds(policy, workload, mesh)) ?? true,
    kept: { read, given: new Map(given.map((one) => [one.key, one])), marks, byKey, shared, snapshots },
  };
}

function endpointModes(
  documents: readonly ResourceDocument[],
  read: WeakMap<ResourceDocument, IndexedDocument>,
  mesh: Mesh,
): EndpointModes {
  const all = documents.flatMap((one) => read.get(one) ?? []);
  const policies = all.flatMap(({ peerAuthentication }) => peerAuthentication ?? []);
  const [defaultMode] = all.flatMap((one) => one.defaultMode ?? []);
  return new EndpointModes(policies, mesh, defaultMode ?? effectiveDefaults(undefined).mtlsMode);
}

/** The document that is known already, where it says the same: a folder that is read again makes all documents anew. */
function knownOr(document: ResourceDocument, known: ResourceDocument | undefined): ResourceDocument {
  return known?.version === document.version && known.document === document.document ? known : document;
}

/** Those that are no more, and those that are new. */
function changedDocuments(
  before: ReadonlyMap<string, ResourceDocument>,
  after: ReadonlyMap<string, ResourceDocument>,
): readonly ResourceDocument[] {
  const gone = [...before.values()].filter((one) => after.get(one.key) !== one);
  return [...gone, ...[...after.values()].filter((one) => before.get(one.key) !== one)];
}

function withoutThose(
  snapshots: ReadonlyMap<string, ComposedSnapshot>,
  gone: ReadonlySet<ResourceDocument>,
): readonly (readonly [string, ComposedSnapshot])[] {
  return [...snapshots].filter(([, { own }]) => !own.some((one) => gone.has(one)));
}

/** The policies among these documents, and those that name a schema among them. */
function policiesOf(
  documents: readonly ResourceDocument[],
  read: WeakMap<ResourceDocument, IndexedDocument>,
  policies: ReadonlyMap<string, readonly BindingPolicy[]>,
): readonly BindingPolicy[] {
  const schemaKeys = new Set(documents.filter((one) => read.get(one)?.isSchema).map(({ key }) => key));
  const naming =
    schemaKeys.size === 0
      ? []
      : [...policies.values()].flat().filter((policy) => policy.schemaKeys.some((key) => schemaKeys.has(key)));
  return [...documents.flatMap((one) => read.get(one)?.policy ?? []), ...naming];
}

function namespacesOf(policies: readonly BindingPolicy[] | undefined, mesh: Mesh): ReadonlySet<string> | undefined {
  if (policies === undefined || policies.some(({ namespace }) => namespace === mesh.rootNamespace)) return undefined;
  return new Set(policies.map(({ namespace }) => namespace));
}

function binds(
  { namespace, selector }: BindingPolicy,
  workload: Pick<Workload, 'namespace' | 'labels'>,
  mesh: Mesh,
): boolean {
  return selects(namespace, selector, workload, mesh.rootNamespace);
}

function indexed(document: ReadDocument): IndexedDocument {
  const { any } = document;
  const { type } = any;
  return {
    isShared: SHARED_TYPES.has(type),
    isSchema: type === 'APISchema',
    isService: type === 'MeshService',
    peerAuthentication: any.type === 'PeerAuthentication' ? any.resource : undefined,
    defaultMode: any.type === 'MeshDefaults' ? effectiveDefaults(any.resource.spec).mtlsMode : undefined,
    policy: bindingPolicy(document),
  };
}

function bindingPolicy({ any, source }: ReadDocument): BindingPolicy | undefined {
  const { namespace } = any.resource;
  if (any.type === 'AuthorizationPolicy' && isForSidecars(any.resource.spec)) {
    return { source, namespace, selector: any.resource.spec.selector, schemaKeys: [] };
  }
  if (any.type === 'RequestAuthentication' && areTokensForSidecars(any.resource.spec)) {
    return { source, namespace, selector: any.resource.spec.selector, schemaKeys: [] };
  }
  if (any.type === 'PeerAuthentication') {
    return { source, namespace, selector: any.resource.spec.selector, schemaKeys: [] };
  }
  if (any.type !== 'APIValidationPolicy') return undefined;
  const { spec } = any.resource;
  const schemaKeys = spec.schemaRefs.map((name) => resourceKey('APISchema', namespace, name));
  return { source, namespace, selector: spec.selector, schemaKeys };
}
