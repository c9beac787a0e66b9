import { isRecord, type Path } from '#policy/schema/schema.ts';
import { type Injection, injectPod } from './inject-pod.ts';
import type { InjectionSettings } from './injection-configuration.ts';
import { type JsonObject, objectAt, textAt } from './json-object.ts';
import { jsonPatch, type PatchOperation } from './json-patch.ts';

type Steps = readonly string[];

/** Where each kind has its pod; of the API groups of Kubernetes only, since others use these names too. */
const POD_PLACES: { readonly [kind: string]: Steps } = {
  'v1/Pod': [],
  'v1/ReplicationController': ['spec', 'template'],
  'apps/Deployment': ['spec', 'template'],
  'apps/ReplicaSet': ['spec', 'template'],
  'apps/StatefulSet': ['spec', 'template'],
  'apps/DaemonSet': ['spec', 'template'],
  'batch/Job': ['spec', 'template'],
  'batch/CronJob': ['spec', 'jobTemplate', 'spec', 'template'],
};

/** What became of one pod of a manifest. */
export interface ManifestInjection {
  /** E.g. `Deployment shop/web`. */
  readonly name: string;
  /** Of the pod, or pod template, in the manifest. */
  readonly path: Path;
  readonly injection: Injection;
  /** Changes of the whole manifest; none unless it was injected. */
  readonly operations: readonly PatchOperation[];
}

/**
 * Injects the pods of one manifest (a workload, or a List of them) as the webhook does when they are made. `namespace`: of
 * manifests that name none.
 */
export function injectManifest(
  manifest: JsonObject,
  namespace: string,
  settings: InjectionSettings,
  path: Path = [],
): ManifestInjection[] {
  const kind = textAt(manifest, 'kind') ?? '';
  const [group = ''] = (textAt(manifest, 'apiVersion') ?? '').split('/');
  const isList = kind === 'List' || (kind.endsWith('List') && POD_PLACES[`${group}/${kind.slice(0, -'List'.length)}`]);
  if (isList) {
    // by its own index: a List may hold items that are no mappings
    const items: unknown = manifest['items'];
    if (!Array.isArray(items)) return [];
    return items.flatMap((item: unknown, index) =>
      isRecord(item) ? injectManifest(item, namespace, settings, [...path, 'items', index]) : [],
    );
  }
  const place = POD_PLACES[`${group}/${kind}`];
  if (place === undefined) return [];
  const metadata = objectAt(manifest, 'metadata');
  const ownNamespace = textAt(metadata, 'namespace') ?? namespace;
  const name = textAt(metadata, 'name') ?? textAt(metadata, 'generateName') ?? '';
  const pod = place.reduce<JsonObject>(objectAt, manifest);
  const injection = injectPod(pod, ownNamespace, settings);
  const podPath = [...path, ...place];
  const pointer = podPath.map((step) => `/${step}`).join('');
  const operations = injection.kind === 'injected' ? jsonPatch(pod, injection.pod, pointer) : [];
  return [{ name: `${kind} ${ownNamespace}/${name}`, path: podPath, injection, operations }];
}
