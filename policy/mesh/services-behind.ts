import type { Resource } from '../resource/kind.ts';
import type { MeshServiceSpec } from '../resource/kinds/mesh-service.ts';
import type { Workload } from '../workload-policy.ts';

/** A service as a policy can target it: what tells its workloads. */
export interface TargetService {
  readonly namespace: string;
  readonly name: string;
  /** Labels of its workloads; undefined: it has no selector, and its endpoints tell. */
  readonly selector: Workload['labels'] | undefined;
  readonly workloads: readonly Pick<Workload, 'serviceAccount' | 'labels'>[];
}

/** Who may stand behind a service. `serviceAccount` undefined: it is not known (offline). */
export type Candidate = Pick<Workload, 'namespace' | 'labels'> & { readonly serviceAccount: string | undefined };

export function targetService({ namespace, name, spec }: Resource<MeshServiceSpec>): TargetService {
  const { selector = {}, endpoints } = spec;
  // As in Kubernetes, where an empty selector is none.
  if (Object.keys(selector).length > 0) return { namespace, name, selector, workloads: [] };
  const workloads = new Map<string, Pick<Workload, 'serviceAccount' | 'labels'>>();
  for (const { serviceAccount, labels } of endpoints) {
    if (serviceAccount === undefined) continue;
    workloads.set(JSON.stringify([serviceAccount, Object.entries(labels).sort()]), { serviceAccount, labels });
  }
  return { namespace, name, selector: undefined, workloads: [...workloads.values()] };
}

/**
 * Names of the services that the workload stands behind: those whose selector it meets; of those without one, those with an
 * endpoint of its service account whose labels it has all.
 */
export function servicesBehind(workload: Candidate, services: Iterable<TargetService>): ReadonlySet<string> {
  const names = new Set<string>();
  for (const service of services) {
    if (service.namespace === workload.namespace && standsBehind(workload, service)) names.add(service.name);
  }
  return names;
}

function standsBehind(workload: Candidate, { selector, workloads }: TargetService): boolean {
  if (selector !== undefined) return hasAll(workload, selector);
  return workloads.some(({ serviceAccount, labels }) => {
    if (workload.serviceAccount === undefined) return Object.keys(labels).length > 0 && hasAll(workload, labels);
    return serviceAccount === workload.serviceAccount && hasAll(workload, labels);
  });
}

function hasAll({ labels }: Candidate, wanted: Workload['labels']): boolean {
  return Object.entries(wanted).every(([key, value]) => Object.hasOwn(labels, key) && labels[key] === value);
}
