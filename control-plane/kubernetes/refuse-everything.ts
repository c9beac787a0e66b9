import { workloadSelector } from '#policy/resource/kinds/workload-selector.ts';
import { resourceDocument } from '#policy/resource/resource-document.ts';
import type { ResourceDocument } from '#policy/resource-set.ts';
import { isRecord } from '#policy/schema/schema.ts';
import type { MeshObject } from './mesh-objects.ts';

/** Actions that refuse requests: what such a policy would refuse is not known while it cannot be read. */
const REFUSING: ReadonlySet<unknown> = new Set(['DENY', 'CUSTOM']);

/**
 * What stands in for an AuthorizationPolicy of a refusing action that never was good: its workloads (those of its
 * namespace, where the selector cannot be read) refuse everything. Undefined for all else.
 */
export function refuseEverything({ kind, metadata, document }: MeshObject, name: string): ResourceDocument | undefined {
  const { spec } = document;
  if (kind !== 'AuthorizationPolicy' || !isRecord(spec) || !REFUSING.has(spec.action)) return undefined;
  // Istio means these for gateways and waypoints: no sidecar obeys them, good or not.
  const isForGateways =
    document.apiVersion !== 'lateral.dev/v1alpha1' && (spec.targetRefs ?? spec.targetRef) !== undefined;
  if (isForGateways) return undefined;
  const selector = readableSelector(spec.selector);
  return resourceDocument({
    apiVersion: 'lateral.dev/v1alpha1',
    kind,
    namespace: metadata.namespace,
    name,
    spec: { ...(selector === undefined ? {} : { selector }), action: 'DENY', rules: [{}] },
  });
}

/** The selector as it is given; undefined where anything is wrong with it. */
function readableSelector(selector: unknown): unknown {
  if (selector === undefined) return undefined;
  let isWhole = true;
  const fault = () => {
    isWhole = false;
  };
  const read = workloadSelector.read(selector, [], { fail: fault, warn: () => {} });
  return isWhole && read !== undefined ? selector : undefined;
}
