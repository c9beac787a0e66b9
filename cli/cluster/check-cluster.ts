import type { ClusterState } from '#control-plane/kubernetes/cluster/cluster-state.ts';
import { attachedOf, judge, judgeObject, type ObjectPlace } from '#control-plane/kubernetes/resources/judge-object.ts';
import type { MeshObject } from '#control-plane/kubernetes/resources/mesh-objects.ts';
import { compareProblems, type Problem } from '#policy/problem.ts';
import type { Manifests } from './manifest-objects.ts';
import type { ReadCluster } from './read-cluster.ts';

/** What applying a manifest's object would do. */
export interface Effect {
  /** KIND/NAMESPACE/NAME. */
  readonly resource: string;
  readonly change: 'new' | 'changed' | 'unchanged';
  /** Pods that it would bind, and those of them with a sidecar; null: its kind binds none, or it cannot be read. */
  readonly pods: number | null;
  readonly meshed: number | null;
}

export interface ClusterFindings {
  readonly problems: readonly Problem[];
  readonly effects: readonly Effect[];
}

/** What `lateral check` would say of the resources in the cluster: of all, or of one namespace. */
export function checkCluster({ state }: ReadCluster, namespace: string | undefined): ClusterFindings {
  const objects = [...state.resources.values()].map(({ object }) => object);
  const wanted = objects.filter(({ metadata }) => namespace === undefined || metadata.namespace === namespace);
  const problems = wanted.flatMap((object) => findingsOf(object, state, undefined));
  return { problems: problems.sort(compareProblems), effects: [] };
}

/**
 * What would be said of manifests' objects if they were applied, and what would then be newly said of those in the
 * cluster. Nothing is written.
 */
export async function checkManifests(
  cluster: ReadCluster,
  { objects: manifests, configMaps }: Pick<Manifests, 'objects' | 'configMaps'>,
): Promise<ClusterFindings> {
  const { state } = cluster;
  const keys = new Set(manifests.map(({ object }) => object.key));
  const others = [...state.resources.values()].map(({ object }) => object).filter(({ key }) => !keys.has(key));
  const before = new Set(others.flatMap((object) => findingsOf(object, state, undefined)).map(textOf));
  const changes = new Map(manifests.map(({ object }) => [object.key, changeOf(object, state)]));
  cluster.plan(configMaps);
  for (const { object } of manifests) state.resourceChanged(object.key, inPlaceOf(object, state));
  state.refresh();
  await cluster.settled();
  state.refresh();
  const own = manifests.flatMap(({ object, place }) => findingsOf(object, state, place));
  const after = others.flatMap((object) => findingsOf(object, state, undefined));
  const problems = [...own, ...after.filter((problem) => !before.has(textOf(problem)))];
  return {
    problems: problems.sort(compareProblems),
    effects: manifests.map(({ object, place }) => effectOf(object, place, changes.get(object.key) ?? 'new', state)),
  };
}

/** What the control plane says of an object, and the doubts of the whole. What is pending for the webhook is an error here. */
function findingsOf({ document }: MeshObject, state: ClusterState, place: ObjectPlace | undefined): Problem[] {
  const { problems } = judge(document, state, place);
  const { warnings } = judgeObject(document, state, place);
  const said = new Set(problems.map(textOf));
  return [...problems, ...warnings.filter((warning) => !said.has(textOf(warning)))];
}

function changeOf({ key, document }: MeshObject, state: ClusterState): Effect['change'] {
  const known = state.resources.get(key);
  if (known === undefined) return 'new';
  return JSON.stringify(known.object.document.spec) === JSON.stringify(document.spec) ? 'unchanged' : 'changed';
}

/** With the age of the object that it replaces: that is what it keeps. */
function inPlaceOf(object: MeshObject, state: ClusterState): MeshObject {
  const known = state.resources.get(object.key);
  if (known === undefined) return object;
  const { creationTimestamp } = known.object.metadata;
  return { ...object, metadata: { ...object.metadata, creationTimestamp } };
}

function effectOf(object: MeshObject, place: ObjectPlace, change: Effect['change'], state: ClusterState): Effect {
  const { kind, metadata, document } = object;
  const resource = `${kind}/${metadata.namespace}/${metadata.name}`;
  const { sourced } = judge(document, state, place);
  const policy = sourced === undefined ? undefined : attachedOf(sourced);
  if (policy === undefined) return { resource, change, pods: null, meshed: null };
  return { resource, change, ...state.boundPods(policy) };
}

/** A problem without its severity: a warning for the one is an error for the other. */
function textOf({ file, line, column, code, message }: Problem): string {
  return `${file}:${line}:${column} ${code} ${message}`;
}
