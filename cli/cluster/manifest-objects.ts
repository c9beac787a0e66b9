import type { ObjectPlace } from '#control-plane/kubernetes/judge-object.ts';
import { type MeshObject, meshObjectOf } from '#control-plane/kubernetes/mesh-objects.ts';
import { readPolicyFolder } from '#files/read-policy-folder.ts';
import { givenOf, isApiDescription, prefixesOf } from '#policy/load-resources.ts';
import type { Problem } from '#policy/problem.ts';
import { problemAt } from '#policy/resource/sourced-resource.ts';
import { isRecord } from '#policy/schema/schema.ts';
import { readYaml } from '#policy/yaml/read-yaml.ts';

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
  /** Objects of other groups (Deployments and the like), which are none of the mesh's affair. */
  readonly others: number;
}

/** Reads manifests as `kubectl apply -f` takes them: any objects, of which those of the mesh are kept. */
export async function readManifests(paths: readonly string[]): Promise<Manifests> {
  const folders = await Promise.all(paths.map((path) => readPolicyFolder(path)));
  const files = new Map(folders.flatMap((folder) => folder.files.map((file) => [file.path, file] as const)));
  const problems = folders.flatMap((folder) => folder.problems);
  const objects: ManifestObject[] = [];
  let others = 0;
  for (const file of files.values()) {
    const { documents, problems: syntaxProblems } = readYaml(file);
    problems.push(...syntaxProblems);
    for (const document of documents) {
      if (isApiDescription(document.value)) continue;
      for (const prefix of prefixesOf(document)) {
        const place = { file: file.path, document, prefix };
        const read = readObject(givenOf(place));
        if (typeof read === 'string') problems.push(problemAt(place, [], 'error', 'not_an_object', read));
        else if (read === undefined) others++;
        else objects.push({ object: read, place });
      }
    }
  }
  return { objects, problems, files: files.size, others };
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
