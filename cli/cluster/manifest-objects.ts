import type { ObjectPlace } from '#control-plane/kubernetes/resources/judge-object.ts';
import { type MeshObject, meshObjectOf } from '#control-plane/kubernetes/resources/mesh-objects.ts';
import { placedDocuments } from '#policy/load-resources.ts';
import type { Problem } from '#policy/problem.ts';
import { givenOf, problemAt } from '#policy/resource/sourced-resource.ts';
import { isRecord } from '#policy/schema/schema.ts';
import type { Mesh } from '#policy/workload-policy.ts';
import { checkWorkload } from '../offline/check-workload.ts';
import { ConfigMapFiles } from '../offline/config-map-files.ts';
import { readFolders } from '../offline/read-folders.ts';

/** API groups whose objects are looked at. */
const GROUPS: ReadonlySet<string> = new Set(['lateral.dev', 'security.istio.io', 'gateway.networking.k8s.io']);
/** The creation of what is yet to come: in every claim it comes behind what is there. */
const TO_COME = '9999-12-31T23:59:59Z';

/** An object of a manifest, and where it stands. */
export interface ManifestObject {
  readonly object: MeshObject;
  readonly place: ObjectPlace;
}

export interface Manifests {
  readonly objects: readonly ManifestObject[];
  /** Of the files themselves. */
  readonly problems: readonly Problem[];
  readonly files: number;
  /** Pods and pod templates, which were judged as the injector would judge them. */
  readonly workloads: number;
  readonly configMaps: ConfigMapFiles;
  /** All else, which is none of the mesh's affair: objects of other groups. */
  readonly others: readonly unknown[];
}

/** Reads manifests as `kubectl apply -f` takes them: any objects, of which those of the mesh are kept. */
export async function readManifests(paths: readonly string[], mesh: Mesh): Promise<Manifests> {
  const { files, problems: unread } = await readFolders(paths);
  const problems = [...unread];
  const objects: ManifestObject[] = [];
  let workloads = 0;
  const others: unknown[] = [];
  for (const place of placedDocuments(files, problems)) {
    const given = givenOf(place);
    const read = readObject(given);
    if (typeof read === 'string') problems.push(problemAt(place, [], 'error', 'not_an_object', read));
    else if (read !== undefined) objects.push({ object: read, place });
    else {
      const { pods, problems: found } = checkWorkload(place, mesh);
      problems.push(...found);
      workloads += pods;
      if (pods === 0) others.push(given);
    }
  }
  return { objects, problems, files: files.length, workloads, configMaps: new ConfigMapFiles(others), others };
}

/** Undefined: it is of another group. A text says why it is no object of the Kubernetes API. */
function readObject(given: unknown): MeshObject | undefined | string {
  if (!isRecord(given) || typeof given.kind !== 'string' || typeof given.apiVersion !== 'string') {
    return 'expected an object of the Kubernetes API: a mapping with apiVersion, kind, metadata and spec';
  }
  const [group = '', version = ''] = given.apiVersion.split('/');
  if (!GROUPS.has(group)) return undefined;
  const object = meshObjectOf(given, { group, version, kind: given.kind, plural: '' });
  if (object === undefined) return 'metadata.name is missing';
  return { ...object, metadata: { ...object.metadata, creationTimestamp: TO_COME } };
}
