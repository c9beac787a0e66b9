import { servicesBehind, type TargetService, targetService } from '../mesh/services-behind.ts';
import { EndpointModes } from '../mtls/endpoint-modes.ts';
import { noteGivenForm, PlaintextMarks } from '../mtls/mark-plaintext.ts';
import type { Resource } from '../resource/kind.ts';
import { type Attached, attaches, isForSidecars, targetedServices } from '../resource/kinds/attachment.ts';
import { effectiveDefaults } from '../resource/kinds/mesh-defaults.ts';
import type { PeerAuthenticationSpec } from '../resource/kinds/peer-authentication.ts';
import { resourceKey } from '../resource/resource-document.ts';
import type { ResourceDocument, Snapshot } from '../resource-set.ts';
import type { Mesh, MtlsMode, Workload } from '../workload-policy.ts';
import { ComposedSnapshot, SharedResources } from './composed-snapshot.ts';
import { type ReadDocument, readDocuments } from './read-documents.ts';

/** What of a workload decides which policies bind it. */
export type SelectedWorkload = Pick<Workload, 'namespace' | 'serviceAccount' | 'labels'>;

/** All resources of the mesh, read once, from which each workload's snapshot is taken. */
export interface ResourceIndex {
  /** Workloads that need the same resources get the very same snapshot object. */
  select(workload: SelectedWorkload): ComposedSnapshot;
  /** Namespaces of workloads that may get another snapshot than of the index before; undefined: all. */
  readonly concernedNamespaces: ReadonlySet<string> | undefined;
  /** False: the workload gets the very snapshot that it got of the index before. */
  concerns(workload: SelectedWorkload): boolean;
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
  /** Who stands behind the services that policies target, by namespace: the selector of a service does not travel. */
  readonly targets: ReadonlyMap<string, string>;
  /** What every workload needs. */
  readonly shared: SharedResources;
  /** By the policies and schemas that make up the rest. */
  readonly snapshots: ReadonlyMap<string, ComposedSnapshot>;
}

/** What of a document is needed to choose among them. */
interface IndexedDocument {
  readonly isShared: boolean;
  readonly isSchema: boolean;
  /** Of a MeshService. */
  readonly service: TargetService | undefined;
  readonly policy: BindingPolicy | undefined;
  readonly peerAuthentication: Resource<PeerAuthenticationSpec> | undefined;
  /** Mode of MeshDefaults. */
  readonly defaultMode: MtlsMode | undefined;
}

/** A policy, and what else its workloads need. */
interface BindingPolicy {
  readonly source: ResourceDocument;
  readonly attached: Attached;
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
    if (document?.service === undefined) return one;
    const made = marks.travelling(one, modes, readAgain);
    const travelling = made === one ? one : knownOr(made, kept?.byKey.get(one.key));
    noteGivenForm(travelling, one);
    read.set(travelling, document);
    return travelling;
  });
  const sharedNow: ResourceDocument[] = [];
  const policies = new Map<string, BindingPolicy[]>();
  const schemas = new Map<string, ResourceDocument>();
  const services = new Map<string, TargetService>();
  for (const source of current) {
    const document = read.get(source);
    if (document === undefined) continue; // read just above
    const { policy, service } = document;
    if (service !== undefined) services.set(source.key, service);
    if (document.isShared) sharedNow.push(source);
    if (document.isSchema) schemas.set(source.key, source);
    if (policy === undefined) continue;
    const { namespace } = policy.attached;
    const others = policies.get(namespace);
    if (others === undefined) policies.set(namespace, [policy]);
    else others.push(policy);
  }
  const targeted = targetedOf(policies, services);
  const targets = new Map([...targeted].map(([namespace, found]) => [namespace, JSON.stringify(found)]));
  const retargeted = differing(kept?.targets ?? new Map(), targets);
  const byKey = new Map(current.map((one) => [one.key, one]));
  const changed = kept === undefined ? [] : changedDocuments(kept.byKey, byKey);
  const isSharedKept = kept !== undefined && !changed.some((one) => read.get(one)?.isShared === true);
  const shared = isSharedKept ? kept.shared : new SharedResources(sharedNow);
  const snapshots = new Map(isSharedKept ? withoutThose(kept.snapshots, new Set(changed)) : []);
  const changedPolicies = isSharedKept ? policiesOf(changed, read, policies) : undefined;

  const bound = (workload: SelectedWorkload) => {
    const services = servicesBehind(workload, targeted.get(workload.namespace) ?? []);
    return ({ attached }: BindingPolicy) => attaches(attached, { ...workload, services }, mesh.rootNamespace);
  };

  function select(workload: SelectedWorkload): ComposedSnapshot {
    const namespaces = new Set([workload.namespace, mesh.rootNamespace]);
    const binding = [...namespaces].flatMap((namespace) => (policies.get(namespace) ?? []).filter(bound(workload)));
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
    concernedNamespaces: namespacesOf(changedPolicies, retargeted, mesh),
    concerns: (workload) =>
      changedPolicies === undefined || retargeted.has(workload.namespace) || changedPolicies.some(bound(workload)),
    kept: { read, given: new Map(given.map((one) => [one.key, one])), marks, byKey, targets, shared, snapshots },
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

function namespacesOf(
  policies: readonly BindingPolicy[] | undefined,
  retargeted: ReadonlySet<string>,
  mesh: Mesh,
): ReadonlySet<string> | undefined {
  if (policies === undefined) return undefined;
  const namespaces = new Set(policies.map(({ attached }) => attached.namespace));
  return namespaces.has(mesh.rootNamespace) ? undefined : namespaces.union(retargeted);
}

/** Keys of values that are others, or on one side alone. */
function differing(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): ReadonlySet<string> {
  return new Set([...before.keys(), ...after.keys()].filter((key) => before.get(key) !== after.get(key)));
}

/** By namespace the services that some policy targets. */
function targetedOf(
  policies: ReadonlyMap<string, readonly BindingPolicy[]>,
  services: ReadonlyMap<string, TargetService>,
): ReadonlyMap<string, readonly TargetService[]> {
  const targeted = new Map<string, readonly TargetService[]>();
  for (const [namespace, binding] of policies) {
    const names = new Set(binding.flatMap(({ attached }) => targetedServices(attached)));
    if (names.size === 0) continue;
    const found = [...names].flatMap((name) => services.get(resourceKey('MeshService', namespace, name)) ?? []);
    targeted.set(namespace, found);
  }
  return targeted;
}

function indexed(document: ReadDocument): IndexedDocument {
  const { any } = document;
  const { type } = any;
  return {
    isShared: SHARED_TYPES.has(type),
    isSchema: type === 'APISchema',
    service: any.type === 'MeshService' ? targetService(any.resource) : undefined,
    peerAuthentication: any.type === 'PeerAuthentication' ? any.resource : undefined,
    defaultMode: any.type === 'MeshDefaults' ? effectiveDefaults(any.resource.spec).mtlsMode : undefined,
    policy: bindingPolicy(document),
  };
}

function bindingPolicy({ any, source }: ReadDocument): BindingPolicy | undefined {
  switch (any.type) {
    case 'AuthorizationPolicy':
    case 'RequestAuthentication':
      return isForSidecars(any.resource) ? { source, attached: attachedOf(any.resource), schemaKeys: [] } : undefined;
    case 'PeerAuthentication':
      return { source, attached: attachedOf(any.resource), schemaKeys: [] };
    case 'APIValidationPolicy': {
      const { namespace, spec } = any.resource;
      const schemaKeys = spec.schemaRefs.map((name) => resourceKey('APISchema', namespace, name));
      return { source, attached: attachedOf(any.resource), schemaKeys };
    }
    default:
      return undefined;
  }
}

/** Alone: the rules of thousands of policies are not to be kept for it. */
function attachedOf({ apiVersion, namespace, spec }: Attached): Attached {
  const { selector, targetRef, targetRefs } = spec;
  return { apiVersion, namespace, spec: { selector, targetRef, targetRefs } };
}
