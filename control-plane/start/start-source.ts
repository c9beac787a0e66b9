import type { ControlPlaneConfiguration } from '../configuration.ts';
import type { WorkloadDirectory } from '../discovery/workload-directory.ts';
import type { KubernetesSource } from '../kubernetes/kubernetes-source.ts';
import type { Kubernetes } from '../kubernetes/open-kubernetes.ts';
import { type PolicyFolderOptions, startPolicyFolder } from '../source/policy-folder.ts';
import type { SourceStatus } from '../source/source-status.ts';
import type { WatchState } from '../status/status-pages.ts';
import type { Closer } from './closer.ts';

/** What a source of policies is to the rest. */
export interface RunningSource {
  readonly status: SourceStatus;
  watches(): readonly WatchState[];
  readonly kubernetes: KubernetesSource | undefined;
  readonly workloads: WorkloadDirectory | undefined;
}

/** Puts the policies of the folder or the cluster in force, and keeps them so. */
export async function startSource(
  { source, meshDefaults }: ControlPlaneConfiguration,
  kubernetes: Kubernetes | undefined,
  shared: Omit<PolicyFolderOptions, 'directory' | 'lastGoodFile'>,
  closers: Closer[],
): Promise<RunningSource> {
  if (source.kind === 'kubernetes' && kubernetes !== undefined) {
    const { clusterDomain, statusGroups } = source;
    const cluster = await kubernetes.startSource({ ...shared, clusterDomain, statusGroups, meshDefaults });
    return {
      get status() {
        return cluster.status;
      },
      watches: () => cluster.watches,
      kubernetes: cluster,
      workloads: cluster.workloads,
    };
  }
  if (source.kind !== 'directory') throw new Error('source.kubernetes needs a Kubernetes API server');
  const { directory, lastGoodFile } = source;
  const folder = await startPolicyFolder({ ...shared, directory, lastGoodFile });
  closers.push(() => folder.close());
  return {
    get status() {
      return folder.status;
    },
    watches: () => [],
    kubernetes: undefined,
    workloads: undefined,
  };
}
