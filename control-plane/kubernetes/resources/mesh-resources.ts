import { createHash } from 'node:crypto';
import { documentOf } from '#policy/load-resources.ts';
import type { Problem } from '#policy/problem.ts';
import { scopedHost } from '#policy/resource/check-resource-set.ts';
import { DOCUMENT_FIELDS } from '#policy/resource/kinds/api-schema.ts';
import { resourceKey } from '#policy/resource/resource-document.ts';
import { problemAt, type SourcedResource } from '#policy/resource/sourced-resource.ts';
import type { ResourceDocument } from '#policy/resource-set.ts';
import { isRecord } from '#policy/schema/schema.ts';
import { compareAge, recordsOf, textOf } from '../api-object.ts';
import type { ClusterView, HostClaim } from './cluster-view.ts';
import { documentFault } from './document-fault.ts';
import { type DocumentsAsked, type JudgedObject, judge, shownName } from './judge-object.ts';
import type { MeshObject } from './mesh-objects.ts';
import { refuseEverything } from './refuse-everything.ts';

/** An object, what was found of it, and what of it is in force. */
export interface JudgedResource {
  readonly object: MeshObject;
  /** Undefined: not judged yet, since a ConfigMap it names is still being read. */
  readonly problems: readonly Problem[] | undefined;
  /** The form that is in force: of now where there is no error, else the last good one, or what stands in for it. */
  readonly inForce: ResourceDocument | undefined;
  /** The good form, of which `inForce` is the travelling one; undefined: it never was good. */
  readonly good: SourcedResource | undefined;
}

/** Longest name of a resource. Source: RFC 1123, as in Kubernetes. */
const MAX_NAME_LENGTH = 253;
/** Hex digits that tell names of the same beginning apart. */
const NAME_HASH_LENGTH = 16;
/** Judged in this order, so that what others refer to is there; all further kinds after these. */
const FIRST_KINDS = ['MeshDefaults', 'MeshService', 'APISchema'];
/** What one of a kind is allowed depends on its elders, so that all are judged together. */
const RANKED_KINDS: ReadonlySet<string> = new Set(['MeshDefaults', 'MeshService']);
/** Another has the better claim, or the host is of another namespace: the last good form has none either. */
const DISPLACED: ReadonlySet<string> = new Set(['duplicate_resource', 'duplicate_host', 'foreign_host']);

/**
 * The resources of the mesh in a cluster, each judged alone: one that is broken keeps its last good form, all others go
 * on. Only what a change concerns is judged again.
 */
export class MeshResources {
  readonly #entries = new Map<string, JudgedResource>();
  readonly #dirty = new Set<string>();
  readonly #changes = new Map<string, MeshObject | undefined>();
  /** Hosts of good MeshServices. */
  readonly #claims = new Map<string, HostClaim>();
  /** APISchemas that are gone while a policy in force needs them. */
  readonly #departed = new Map<string, ResourceDocument>();
  /** APISchemas whose documents are still being read. */
  readonly #pending = new Set<string>();

  changed(key: string, object: MeshObject | undefined): void {
    this.#changes.set(key, object);
  }

  /** The data of a ConfigMap became known, or changed. */
  configMapChanged(namespace: string, name: string): void {
    for (const [key, { object }] of this.#entries) {
      if (object.metadata.namespace !== namespace || !configMapNames(object).includes(name)) continue;
      this.#dirty.add(key);
      this.#markDependants(object);
    }
  }

  /** A document that was being read is there: those who wait for one are judged again. */
  documentRead(): void {
    for (const key of this.#pending) {
      this.#dirty.add(key);
      this.#markDependants(this.#entries.get(key)?.object);
    }
    this.#pending.clear();
  }

  /** Services or namespaces came or went: hosts may be claimed otherwise. */
  hostsChanged(): void {
    this.#markKind('MeshService');
  }

  /** Judges what has changed; true when anything in force, or found, came out another. */
  refresh(view: ClusterView): boolean {
    const hasRemoved = this.#takeChanges(view);
    if (this.#dirty.size === 0) return hasRemoved;
    const dirty = [...this.#dirty].flatMap((key) => this.#entries.get(key) ?? []);
    this.#dirty.clear();
    // The claims of elders count: those to be judged have none until they are.
    for (const { object } of dirty) {
      if (object.kind === 'MeshService') this.#claims.clear();
      if (RANKED_KINDS.has(object.kind)) this.#entries.delete(object.key);
    }
    for (const entry of dirty.sort(compareRank)) {
      const judged = this.#judged(entry, view);
      this.#entries.set(entry.object.key, judged);
      this.#claimHosts(judged);
    }
    return true;
  }

  /** Whose a host, spelled by `scopedHost`, is among MeshServices. */
  hostClaim(scope: string): HostClaim | undefined {
    return this.#claims.get(scope);
  }

  get(key: string): JudgedResource | undefined {
    return this.#entries.get(key);
  }

  values(): Iterable<JudgedResource> {
    return this.#entries.values();
  }

  /** Everything in force, and the departed schemas that it still needs. */
  documents(): readonly ResourceDocument[] {
    const inForce = [...this.#entries.values()].flatMap(({ inForce }) => inForce ?? []);
    const present = new Set(inForce.map(({ key }) => key));
    const needed = new Set([...this.#entries.values()].flatMap((entry) => schemaKeysOf(entry)));
    for (const key of [...this.#departed.keys()]) {
      if (!needed.has(key) || present.has(key)) this.#departed.delete(key);
    }
    return [...inForce, ...this.#departed.values()];
  }

  /** ConfigMaps that APISchemas name, as NAMESPACE/NAME. */
  configMapKeys(): ReadonlySet<string> {
    return new Set(
      [...this.#entries.values()].flatMap(({ object }) =>
        configMapNames(object).map((name) => `${object.metadata.namespace}/${name}`),
      ),
    );
  }

  #claimHosts({ inForce, good }: JudgedResource): void {
    if (inForce === undefined || good?.any.type !== 'MeshService') return;
    const { namespace, name, spec } = good.any.resource;
    for (const host of spec.hosts) {
      const scope = scopedHost(host, namespace);
      if (!this.#claims.has(scope)) this.#claims.set(scope, { kind: 'MeshService', namespace, name });
    }
  }

  /** True when an object is gone: nothing need be judged for that, and yet less is in force. */
  #takeChanges(view: ClusterView): boolean {
    let hasRemoved = false;
    for (const [key, object] of this.#changes) {
      const known = this.#entries.get(key);
      if (object === undefined) {
        hasRemoved = this.#entries.delete(key) || hasRemoved;
        if (known !== undefined) forgetDocuments(known.object, view);
      }
      if (object !== undefined)
        this.#entries.set(key, { problems: undefined, inForce: undefined, good: undefined, ...known, object });
      // Our own writes of its status come back as changes, which are none to anybody.
      if (object !== undefined && !isSpecChanged(known?.object, object)) continue;
      const kind = object?.kind ?? known?.object.kind ?? '';
      if (object !== undefined) this.#dirty.add(key);
      if (object === undefined && known?.inForce !== undefined && kind === 'APISchema') {
        this.#departed.set(known.inForce.key, known.inForce);
      }
      this.#markDependants(object ?? known?.object);
      if (RANKED_KINDS.has(kind)) this.#markKind(kind);
    }
    this.#changes.clear();
    return hasRemoved;
  }

  /** What is judged by another object: policies by their schemas, twins of another group by each other. */
  #markDependants(changed: MeshObject | undefined): void {
    if (changed === undefined) return;
    const { kind, metadata } = changed;
    for (const [key, { object }] of this.#entries) {
      if (object.metadata.namespace !== metadata.namespace) continue;
      const isTwin = object.kind === kind && object.metadata.name === metadata.name && object.group !== changed.group;
      const refers =
        kind === 'APISchema' && object.kind === 'APIValidationPolicy' && schemaRefs(object).includes(metadata.name);
      if (isTwin || refers) this.#dirty.add(key);
    }
  }

  #markKind(kind: string): void {
    for (const [key, { object }] of this.#entries) if (object.kind === kind) this.#dirty.add(key);
  }

  #judged({ object, good, inForce, problems: known }: JudgedResource, view: ClusterView): JudgedResource {
    const { problems, sourced } = judgeSafely(object.document, view);
    const errors = problems.filter(({ severity }) => severity === 'error');
    if (sourced === undefined && errors.length === 0) {
      this.#pending.add(object.key);
      return { object, problems: known, inForce, good };
    }
    // The very document that stands there, where it says the same: what is the same object is not read again.
    const made = (document: ResourceDocument) => (inForce?.version === document.version ? inForce : document);
    if (sourced !== undefined && errors.length === 0) {
      const document = made(this.#renamed(object, sourced));
      const fault = document === inForce ? undefined : documentFault(document, view.mesh);
      if (fault === undefined) return { object, problems, good: sourced, inForce: document };
      errors.push(problemAt(sourced, [], 'error', 'invalid_value', fault));
    }
    const found = [...new Set([...problems, ...errors])];
    if (errors.some(({ code }) => DISPLACED.has(code)))
      return { object, problems: found, good: undefined, inForce: undefined };
    const lastGood = good ?? readLastGood(object, view);
    if (lastGood === 'pending') this.#pending.add(object.key);
    const before = lastGood === 'pending' ? undefined : lastGood;
    const standIn =
      before === undefined ? refuseEverything(object, this.#nameOf(object)) : this.#renamed(object, before);
    const isReadable = standIn !== undefined && documentFault(standIn, view.mesh) === undefined;
    return { object, problems: found, good: before, inForce: isReadable ? made(standIn) : undefined };
  }

  #renamed(object: MeshObject, sourced: SourcedResource): ResourceDocument {
    const name = this.#nameOf(object);
    if (name === object.metadata.name) return documentOf(sourced);
    const { any } = sourced;
    // One kind in two groups: both are in force, so that each needs a name of its own.
    if (any.type === 'AuthorizationPolicy') {
      return documentOf({ ...sourced, any: { ...any, resource: { ...any.resource, name } } });
    }
    if (any.type === 'PeerAuthentication') {
      return documentOf({ ...sourced, any: { ...any, resource: { ...any.resource, name } } });
    }
    if (any.type === 'RequestAuthentication') {
      return documentOf({ ...sourced, any: { ...any, resource: { ...any.resource, name } } });
    }
    return documentOf(sourced);
  }

  /** Its own; with the group behind it where lateral.dev has one of the same kind and name. */
  #nameOf({ group, kind, metadata }: MeshObject): string {
    if (group === 'lateral.dev') return metadata.name;
    const isTwin = this.#entries.has(`lateral.dev/${kind}/${metadata.namespace}/${metadata.name}`);
    return isTwin ? nameInGroup(metadata.name, group) : metadata.name;
  }
}

/** Should ever an object make the judge fail, it is that object which is broken, and the others are judged all the same. */
function judgeSafely(
  document: MeshObject['document'],
  view: ClusterView,
  documents: DocumentsAsked | undefined = view.longDocuments,
): JudgedObject {
  try {
    return judge(document, view, undefined, documents);
  } catch (error) {
    const message = `it cannot be judged: ${String(error)}`;
    const place = { file: shownName(document), line: 1, column: 1 };
    return { problems: [{ ...place, severity: 'error', code: 'invalid_value', message }], sourced: undefined };
  }
}

/** The form that a leader left in the status, so that a control plane that starts anew goes on with it; if it is good still. */
function readLastGood(
  { group, document, status }: MeshObject,
  view: ClusterView,
): SourcedResource | 'pending' | undefined {
  const lastGoodSpec = textOf(status.lastGoodSpec);
  if (group !== 'lateral.dev' || lastGoodSpec === '') return undefined;
  let spec: unknown;
  try {
    spec = JSON.parse(lastGoodSpec);
  } catch {
    return undefined; // not of our writing
  }
  const { longDocuments } = view;
  const documents: DocumentsAsked | undefined = longDocuments && {
    read: (owner, ...document) => longDocuments.read(ofLastGood(owner), ...document),
  };
  const { problems, sourced } = judgeSafely({ ...document, spec }, view, documents);
  if (problems.some(({ severity }) => severity === 'error')) return undefined;
  return sourced ?? 'pending';
}

/** Beside the document of the object as it is now. */
function ofLastGood(owner: string): string {
  return `${owner} as it was`;
}

function forgetDocuments({ document }: MeshObject, { longDocuments }: ClusterView): void {
  const owner = shownName(document);
  longDocuments?.forget(owner);
  longDocuments?.forget(ofLastGood(owner));
}

/** `NAME.GROUP`; of a NAME too long for that its beginning and a hash. */
function nameInGroup(name: string, group: string): string {
  const full = `${name}.${group}`;
  if (full.length <= MAX_NAME_LENGTH) return full;
  const suffix = `-${createHash('sha256').update(name).digest('hex').slice(0, NAME_HASH_LENGTH)}.${group}`;
  const beginning = name.slice(0, MAX_NAME_LENGTH - suffix.length).replace(/[^a-z0-9]+$/, '');
  return `${beginning}${suffix}`;
}

function compareRank({ object: left }: JudgedResource, { object: right }: JudgedResource): number {
  const rank = ({ kind }: MeshObject) => (FIRST_KINDS.includes(kind) ? FIRST_KINDS.indexOf(kind) : FIRST_KINDS.length);
  return rank(left) - rank(right) || compareAge(left, right);
}

/** A write of the status alone changes nothing that is judged; generation tells them apart where there is one. */
function isSpecChanged(known: MeshObject | undefined, object: MeshObject): boolean {
  if (known === undefined) return true;
  if (known.metadata.uid !== object.metadata.uid || object.metadata.generation === 0) return true;
  if (known.metadata.generation !== object.metadata.generation) return true;
  // Annotations are read too (istio.io/dry-run), and do not count as a generation.
  return JSON.stringify(known.metadata.annotations) !== JSON.stringify(object.metadata.annotations);
}

function specOf(object: MeshObject): { readonly [key: string]: unknown } {
  return isRecord(object.document.spec) ? object.document.spec : {};
}

function configMapNames(object: MeshObject): readonly string[] {
  if (object.kind !== 'APISchema') return [];
  const spec = specOf(object);
  return DOCUMENT_FIELDS.flatMap((field) => {
    const source = spec[field];
    return recordsOf(isRecord(source) ? source.configMapRefs : undefined).map(({ name }) => textOf(name));
  });
}

function schemaRefs(object: MeshObject): readonly unknown[] {
  const { schemaRefs: references } = specOf(object);
  return Array.isArray(references) ? references : [];
}

function schemaKeysOf({ good }: JudgedResource): readonly string[] {
  if (good?.any.type !== 'APIValidationPolicy') return [];
  const { namespace, spec } = good.any.resource;
  return spec.schemaRefs.map((name) => resourceKey('APISchema', namespace, name));
}
