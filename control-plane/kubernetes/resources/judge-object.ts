import { isIP } from 'node:net';
import { analysisOfOne } from '#policy/analysis/analyse-resource-set.ts';
import { namedAccounts } from '#policy/analysis/doubt-callers.ts';
import { ScopeMemory } from '#policy/analysis/rule-scope.ts';
import { parseAuthority } from '#policy/mesh/parse-authority.ts';
import { compareProblems, type Problem } from '#policy/problem.ts';
import { checkApiSchemas } from '#policy/resource/check-api-schemas.ts';
import { checkConditions } from '#policy/resource/check-conditions.ts';
import { checkProviders } from '#policy/resource/check-providers.ts';
import {
  checkResourceSet,
  foreignNamespace,
  scopedHost,
  scopedHostOfAllPorts,
} from '#policy/resource/check-resource-set.ts';
import { checkValidationPolicies } from '#policy/resource/check-validation-policies.ts';
import type { DocumentFacts } from '#policy/resource/document-facts.ts';
import { documentFieldOf } from '#policy/resource/kinds/api-schema.ts';
import {
  type Attached,
  type AttachmentSpec,
  isForSidecars,
  targetedServices,
} from '#policy/resource/kinds/attachment.ts';
import type { MeshServiceSpec } from '#policy/resource/kinds/mesh-service.ts';
import {
  type DocumentEncoding,
  type HeldDocument,
  type NamedDocuments,
  readResource,
} from '#policy/resource/read-resource.ts';
import { contextOf, problemAt, type SourcedResource } from '#policy/resource/sourced-resource.ts';
import { isRecord, type Path, type ReadContext } from '#policy/schema/schema.ts';
import { finish } from '#policy/steps/finish.ts';
import { type DocumentPart, type LongDocuments, MAX_CHARACTERS_READ_HERE } from '../../documents/document-reader.ts';
import { joinedDocument } from '../../documents/joined-document.ts';
import { metadataOf } from '../api-object.ts';
import type { ClusterView, ConfigMapText, HostClaim } from './cluster-view.ts';
import { isTooDeep, MAX_OBJECT_DEPTH, objectDocument } from './object-document.ts';

/** What there is to say of one object; `file` of its problems is KIND/NAMESPACE/NAME. */
export interface Judgement {
  /** Any: the object must not be put in force. */
  readonly errors: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/**
 * For the validating webhook: what `lateral check` would say of this object beside all that is in force in the cluster.
 * Pure: nothing of the view changes. `object` is `request.object` as the API server sent it; an update is judged in place
 * of the object of that name. What an object to come can mend (an APISchema or ConfigMap that is not there yet: the files
 * of one `kubectl apply` come in any order) is a warning here, and an error in the status as long as it is so.
 */
export function judgeObject(object: unknown, view: ClusterView, place?: ObjectPlace): Judgement {
  return finish(judgementOf(object, view, place));
}

/** The same in steps, for whoever has others waiting; of one view only one at a time, since what is remembered of it is changed. */
export function* judgementOf(object: unknown, view: ClusterView, place?: ObjectPlace): Generator<void, Judgement> {
  // What was read for the cluster is known; for a review nothing is read that may never be.
  const { longDocuments } = view;
  const documents = longDocuments && { read: longDocuments.known.bind(longDocuments) };
  const { problems, sourced } = judge(object, view, place, documents);
  yield;
  const isPending = ({ code }: Problem) => code === MISSING_CONFIG_MAP || code === 'unknown_reference';
  const errors = problems.filter((one) => one.severity === 'error' && !isPending(one));
  const pending = problems.filter((one) => one.severity === 'error' && isPending(one));
  const warnings: Problem[] = problems.filter(({ severity }) => severity === 'warning');
  for (const one of pending) warnings.push({ ...one, severity: 'warning' });
  if (errors.length === 0 && sourced !== undefined)
    warnings.push(...(yield* doubts(sourced, view)), ...unknownProviders(sourced, view));
  return { errors, warnings: warnings.sort(compareProblems) };
}

/** Code of a problem with a document of ConfigMaps that is not there, or not whole. */
const MISSING_CONFIG_MAP = 'missing_config_map';

/** An object judged against the others, and what it is where it could be read. */
export interface JudgedObject {
  readonly problems: readonly Problem[];
  /** Good only where no problem is an error. */
  readonly sourced: SourcedResource | undefined;
}

/** Where long documents are had. */
export type DocumentsAsked = Pick<LongDocuments, 'read'>;

/** Where an object was read from, for the positions of its problems. */
export type ObjectPlace = Pick<SourcedResource, 'file' | 'document' | 'prefix'>;

/**
 * All that is wrong with an object as the cluster is now, without the doubts about whole sets. Without a place positions
 * are those in the object as it is printed.
 */
export function judge(
  object: unknown,
  view: ClusterView,
  given?: ObjectPlace,
  documents: DocumentsAsked | undefined = view.longDocuments,
): JudgedObject {
  const file = given?.file ?? shownName(object);
  const fault = (code: string, message: string): JudgedObject => ({
    problems: [{ file, line: 1, column: 1, severity: 'error', code, message }],
    sourced: undefined,
  });
  if (!isRecord(object)) return fault('invalid_type', 'expected an object of the Kubernetes API');
  if (isTooDeep(object)) return fault('yaml_too_deep', `nested deeper than ${MAX_OBJECT_DEPTH} levels`);
  const place = given ?? { file, document: objectDocument(object), prefix: [] };
  const problems: Problem[] = [];
  const missing: string[] = [];
  const context = contextOf(place, problems);
  const named = new DocumentsOfCluster(shownName(object), view, missing, documents);
  const any = readResource(object, view.mesh, context, named);
  for (const reason of missing) {
    const path = ['spec', documentFieldOf(object.spec), 'configMapRefs'];
    problems.push(problemAt(place, path, 'error', MISSING_CONFIG_MAP, `${path.join('.')}: ${reason}`));
  }
  if (any === undefined) return { problems: problems.sort(compareProblems), sourced: undefined };
  const sourced = { ...place, any, facts: named.facts };
  problems.push(...checkApiSchemas([sourced]), ...checkConditions([sourced]));
  problems.push(...checkAgainstOthers(sourced, view));
  return { problems: problems.sort(compareProblems), sourced };
}

/** `KIND/NAMESPACE/NAME`, as far as it is known. */
export function shownName(object: unknown): string {
  const kind = isRecord(object) && typeof object.kind === 'string' ? object.kind : 'object';
  const metadata = metadataOf(object);
  return metadata === undefined ? kind : `${kind}/${metadata.namespace}/${metadata.name}`;
}

/** The document of one object: from ConfigMaps or out of the object. One that is being read elsewhere is not there yet. */
class DocumentsOfCluster implements NamedDocuments {
  /** Of the document that was taken last, where another thread has read it. */
  facts: DocumentFacts | undefined;
  readonly #owner: string;
  readonly #documents: DocumentsAsked | undefined;
  readonly #view: ClusterView;
  readonly #missing: string[];

  constructor(owner: string, view: ClusterView, missing: string[], documents: DocumentsAsked | undefined) {
    this.#owner = owner;
    this.#documents = documents;
    this.#view = view;
    this.#missing = missing;
  }

  readonly file: NamedDocuments['file'] = (_file, path, context) => {
    const message = 'a file is read from a policy folder only; in a cluster use configMapRefs or inline';
    context.fail(path, 'invalid_value', message, 'key');
    return undefined;
  };

  readonly configMaps: NamedDocuments['configMaps'] = (namespace, references, path, context, encoding) => {
    const parts = references.map(({ name, key }) => this.#view.configMapText(namespace, name, key));
    this.#missing.push(...parts.flatMap((part) => (part.kind === 'missing' ? [part.reason] : [])));
    return parts.every(isText) ? this.#read(parts, path, context, encoding) : undefined;
  };

  readonly inline: NonNullable<NamedDocuments['inline']> = (text, _namespace, path, context, encoding) =>
    this.#read([encoding === 'base64' ? { text, isBase64: true } : { text }], path, context, encoding);

  #read(
    parts: readonly DocumentPart[],
    path: Path,
    context: ReadContext,
    encoding: DocumentEncoding,
  ): HeldDocument | undefined {
    const length = parts.reduce((sum, { text }) => sum + text.length, 0);
    if (this.#documents === undefined || length <= MAX_CHARACTERS_READ_HERE) return joinedDocument(parts, encoding);
    const field = encoding === 'base64' ? 'protoDescriptorSet' : 'openapi';
    const reading = this.#documents.read(this.#owner, field, parts);
    if (reading.kind === 'pending') return undefined;
    if (reading.kind === 'failed') {
      context.fail(path, 'invalid_value', reading.reason);
      return undefined;
    }
    this.facts = reading.facts;
    return reading.form;
  }
}

function isText(part: ConfigMapText): part is ConfigMapText & { readonly kind: 'text' } {
  return part.kind === 'text';
}

/** What only the others can tell; an error hits this object alone, whatever part the others have in it. */
function checkAgainstOthers(sourced: SourcedResource, view: ClusterView): readonly Problem[] {
  const { any } = sourced;
  const { namespace, name } = any.resource;
  const problems: Problem[] = [];
  if (any.type === 'MeshService' && view.isService(namespace, name)) {
    const message = `Service ${namespace}/${name} is a MeshService of this name already; choose another`;
    problems.push(problemAt(sourced, ['metadata', 'name'], 'error', 'duplicate_resource', message));
  }
  if (any.type === 'MeshDefaults' && view.meshDefaults !== undefined && view.meshDefaults !== `${namespace}/${name}`) {
    const message = `a mesh has at most one MeshDefaults; the first is ${view.meshDefaults}`;
    problems.push(problemAt(sourced, ['kind'], 'error', 'duplicate_resource', message));
  }
  if (any.type === 'MeshService') {
    problems.push(...checkHosts(sourced, any.resource.spec.hosts, view));
    problems.push(...checkAddresses(sourced, any.resource.spec, view));
  }
  const companions =
    any.type === 'APIValidationPolicy'
      ? any.resource.spec.schemaRefs.flatMap((reference) => view.good('APISchema', namespace, reference) ?? [])
      : [];
  const together: Problem[] = [];
  const checked = checkResourceSet([...companions, sourced], view.mesh, together);
  together.push(...checkValidationPolicies(checked));
  return [...problems, ...together.filter(({ file }) => file === sourced.file)];
}

function checkHosts(sourced: SourcedResource, hosts: readonly string[], view: ClusterView): readonly Problem[] {
  const { namespace, name } = sourced.any.resource;
  return hosts.flatMap((host, index) => {
    const path = ['spec', 'hosts', index];
    const foreign = foreignNamespace(host, { namespace, name }, view.namespaces);
    if (foreign !== undefined) {
      const message = `the host ${host} names the namespace ${foreign}; this service is of ${namespace}`;
      return [problemAt(sourced, path, 'error', 'foreign_host', message)];
    }
    const claim = claimOf(host, { namespace, name }, view);
    if (claim === undefined) return [];
    const message = `the host ${host} is already claimed by ${claim.kind} ${claim.namespace}/${claim.name}`;
    return [problemAt(sourced, path, 'error', 'duplicate_host', message)];
  });
}

/** Another's claim on this host; without a port it is on all ports, except for MeshServices of its own namespace. */
function claimOf(host: string, own: Omit<HostClaim, 'kind'>, view: ClusterView): HostClaim | undefined {
  const claim = view.hostClaim(scopedHost(host, own.namespace));
  const isOwn = claim?.kind === 'MeshService' && claim.namespace === own.namespace && claim.name === own.name;
  if (claim !== undefined && !isOwn) return claim;
  const scope = scopedHostOfAllPorts(host, own.namespace);
  const whole = scope === undefined ? undefined : view.hostClaim(scope);
  return whole?.kind === 'MeshService' && whole.namespace === own.namespace ? undefined : whole;
}

/** Addresses of others, as hosts or endpoints: who calls an address by itself is led by the MeshService that has it. */
function checkAddresses(
  sourced: SourcedResource,
  { hosts, endpoints }: MeshServiceSpec,
  view: ClusterView,
): readonly Problem[] {
  const { namespace } = sourced.any.resource;
  const named = [
    ...hosts.map((host, index) => ({ path: ['spec', 'hosts', index], address: parseAuthority(host)?.host ?? host })),
    ...endpoints.map(({ address }, index) => ({ path: ['spec', 'endpoints', index, 'address'], address })),
  ].filter(({ address }) => isIP(address) !== 0);
  if (named.length === 0) return [];
  const owners = view.foreignAddresses(
    named.map(({ address }) => address),
    namespace,
  );
  return named.flatMap(({ path, address }) => {
    const owner = owners.get(address);
    if (owner === undefined) return [];
    const { kind, name } = owner;
    if (kind === 'Service' && path.includes('hosts')) return []; // which has claimed it: that is said
    const message = `${address} is the address of ${kind} ${owner.namespace}/${name}; this service is of ${namespace}`;
    return [problemAt(sourced, path, 'error', 'foreign_host', message)];
  });
}

const memories = new WeakMap<ClusterView, ScopeMemory>();

/** What was made of the policies of a cluster stays from one review to the next. */
function memoryOf(view: ClusterView): ScopeMemory {
  const memory = memories.get(view) ?? new ScopeMemory();
  memories.set(view, memory);
  return memory;
}

/** No error: MeshDefaults may come later, and until then sidecars refuse what the provider would be asked about. */
function unknownProviders(sourced: SourcedResource, view: ClusterView): readonly Problem[] {
  if (sourced.any.type !== 'AuthorizationPolicy') return [];
  const [namespace = '', name = ''] = view.meshDefaults?.split('/') ?? [];
  const defaults = view.good('MeshDefaults', namespace, name);
  const problems = checkProviders(defaults === undefined ? [sourced] : [defaults, sourced]);
  return problems.map((one) => ({ ...one, severity: 'warning' }));
}

/** Doubts that only the cluster as a whole can raise. */
function* doubts(sourced: SourcedResource, view: ClusterView): Generator<void, readonly Problem[]> {
  const own = ({ file }: { readonly file: string }) => file === sourced.file;
  const others = [...view.allGood()].filter((other) => !own(other));
  yield;
  const { namespace } = sourced.any.resource;
  const isMeshWide = namespace === view.mesh.rootNamespace;
  const known = [...others, ...view.declaredServices(isMeshWide ? undefined : namespace)];
  yield;
  const accounts = view.serviceAccountsAmong(namedAccounts(sourced));
  // Pods and service accounts are known here: what is said of workloads is said of them below.
  const all = yield* analysisOfOne(sourced, known, view.mesh, accounts, memoryOf(view));
  const found = all.filter(({ code }) => code !== 'no_workload');
  const policy = attachedOf(sourced);
  if (policy === undefined || view.countWorkloads(policy) > 0) return found;
  const targets = targetedServices(policy);
  const where = isMeshWide && targets.length === 0 ? 'of the mesh' : `of namespace ${namespace}`;
  const [field, what] =
    targets.length === 0
      ? ['selector', 'the selector matches no Pod']
      : ['targetRefs', `Service ${targets.join(', ')} selects no Pod`];
  const message = `binds no workload: ${what} ${where}`;
  return [...found, problemAt(sourced, ['spec', field], 'warning', 'no_workload', message)];
}

/** How a resource binds workloads; undefined: it is of a kind that binds none, or not for sidecars. */
export function attachedOf({ any }: SourcedResource): Attached | undefined {
  if (any.type === 'MeshService' || any.type === 'MeshDefaults' || any.type === 'APISchema') return undefined;
  const { apiVersion, namespace, spec } = any.resource;
  const { selector, targetRef, targetRefs }: AttachmentSpec = spec;
  const attached = { apiVersion, namespace, spec: { selector, targetRef, targetRefs } };
  return isForSidecars(attached) ? attached : undefined;
}
