import { type JsonObject, objectAt, objectsAt, textAt, textsAt } from './json-object.ts';
import { INJECT, INJECTED, SIDECAR_CONTAINER } from './names.ts';

/** Kubernetes' own; a mesh in them can keep a cluster from coming up again. */
const SYSTEM_NAMESPACES = ['kube-system', 'kube-public', 'kube-node-lease'];
const YES = ['true', 'enabled'];
const NO = ['false', 'disabled'];

export interface Skip {
  readonly reason: string;
  /** Told to whoever makes the pod. */
  readonly warnings: readonly string[];
}

/**
 * Why a pod is left as it is, or undefined. Namespaces are chosen by their label in the webhook's registration, so the
 * namespace's own label is not asked again: the API server has seen it, and a copy of ours could be older.
 */
export function skipReason(pod: JsonObject, namespace: string, rootNamespace: string): Skip | undefined {
  if (SYSTEM_NAMESPACES.includes(namespace)) return quiet(`pods of ${namespace} are never injected`);
  if (namespace === rootNamespace)
    return quiet(`pods of ${namespace}, the control plane's namespace, are never injected`);
  const spec = objectAt(pod, 'spec');
  const annotations = textsAt(objectAt(pod, 'metadata'), 'annotations');
  const optOut = optOutReason(pod);
  if (optOut !== undefined) return quiet(optOut);
  if (spec['hostNetwork'] === true) {
    const warning = "not made part of the mesh: with hostNetwork a redirection would be the whole node's";
    return { reason: 'pods with hostNetwork are never injected', warnings: [warning] };
  }
  if (textAt(objectAt(spec, 'os'), 'name') === 'windows') return quiet('a pod of Windows');
  if (annotations['kubernetes.io/config.mirror'] !== undefined) return quiet('a mirror of a static pod');
  return undefined;
}

/** True for what this injector made: the sidecar and the status annotation, both. */
export function isInjected(pod: JsonObject): boolean {
  if (textsAt(objectAt(pod, 'metadata'), 'annotations')[INJECTED] === undefined) return false;
  const spec = objectAt(pod, 'spec');
  const containers = [...objectsAt(spec, 'initContainers'), ...objectsAt(spec, 'containers')];
  return containers.some((container) => container['name'] === SIDECAR_CONTAINER);
}

/** What is wrong with `lateral.dev/inject`; undefined: nothing. */
export function injectComplaint(pod: JsonObject): string | undefined {
  const metadata = objectAt(pod, 'metadata');
  for (const kind of ['labels', 'annotations'] as const) {
    const value = textsAt(metadata, kind)[INJECT];
    if (value === undefined || [...YES, ...NO].includes(value)) continue;
    return `${kind === 'labels' ? 'label' : 'annotation'} ${INJECT}: expected "true" or "false", got ${JSON.stringify(value)}`;
  }
  return undefined;
}

/** Ours decides; without it the other meshes' names for the same wish are understood, for those who come from there. */
function optOutReason(pod: JsonObject): string | undefined {
  const metadata = objectAt(pod, 'metadata');
  const labels = textsAt(metadata, 'labels');
  const annotations = textsAt(metadata, 'annotations');
  const own = [labels[INJECT], annotations[INJECT]];
  if (own.some((value) => value !== undefined && NO.includes(value))) return `${INJECT} says so`;
  if (own.some((value) => value !== undefined && YES.includes(value))) return undefined;
  const istio = 'sidecar.istio.io/inject';
  if (labels[istio] === 'false' || annotations[istio] === 'false') return `${istio} says so`;
  if (annotations['linkerd.io/inject'] === 'disabled') return 'linkerd.io/inject says so';
  return undefined;
}

function quiet(reason: string): Skip {
  return { reason, warnings: [] };
}
