import { type Infer, map, object, optional, type Schema, string } from '../../schema/schema.ts';
import type { BoundWorkload } from '../../workload-policy.ts';

const labelValue = string({
  minLength: 0,
  maxLength: 63,
  check: (value) =>
    value.includes('*') ? 'a label value is matched as it is; wildcards are not supported' : undefined,
});

/** Which workloads a policy binds, by their labels. */
export const workloadSelector = object(
  { matchLabels: optional(map(labelValue, 'Labels that the workload must all have.')) },
  'Workloads the policy binds; absent or empty: all of the namespace (in the root namespace: of the mesh).',
);
export type WorkloadSelector = Infer<typeof workloadSelector>;

/** Labels as MeshService endpoints and workloads carry them. */
export const labels: Schema<{ readonly [key: string]: string }> = map(string({ minLength: 0, maxLength: 63 }));

/** False where the selector is absent or empty, and so selects everything. */
export function hasLabels(selector: WorkloadSelector | undefined): boolean {
  return Object.keys(selector?.matchLabels ?? {}).length > 0;
}

/** True when a policy of this namespace with this selector binds the workload. Source: Istio, WorkloadSelector. */
export function selects(
  policyNamespace: string,
  selector: WorkloadSelector | undefined,
  workload: Pick<BoundWorkload, 'namespace' | 'labels'>,
  rootNamespace: string,
): boolean {
  if (policyNamespace !== workload.namespace && policyNamespace !== rootNamespace) return false;
  if (workload.labels === undefined) return true;
  for (const [key, value] of Object.entries(selector?.matchLabels ?? {})) {
    if (!Object.hasOwn(workload.labels, key) || workload.labels[key] !== value) return false;
  }
  return true;
}
