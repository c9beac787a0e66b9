import { createPolicyDistribution } from '#control-plane/discovery/policy-distribution.ts';
import { KubernetesClient } from '#control-plane/kubernetes/client/kubernetes-client.ts';
import type { ClusterState } from '#control-plane/kubernetes/cluster/cluster-state.ts';
import { KubernetesSource } from '#control-plane/kubernetes/kubernetes-source.ts';
import { createMetrics } from '#control-plane/status/metrics.ts';
import type { ConfigMapFiles } from '../offline/config-map-files.ts';
import type { ClusterReach } from '../operations/reach-options.ts';
import { apiConnectionOf, loadKubeconfig } from './load-kubeconfig.ts';
import { areAllDecided, isForbidden, missingRights } from './missing-rights.ts';
import { type GivenMesh, readInstallation } from './read-installation.ts';

/** All has to be listed by then. */
const READ_TIMEOUT_MS = 60_000;
/** Whether a list was refused is looked at this often. */
const LOOK_INTERVAL_MS = 50;
/** Once one list is refused, the others have this long to be refused too: whoever lacks one right mostly lacks several. */
const REFUSALS_TIMEOUT_MS = 5_000;

/** A cluster as the control plane would see it; it stays up to date until it is closed. */
export interface ReadCluster {
  readonly state: ClusterState;
  /** What of the control plane's configuration had to be assumed, and why. */
  readonly assumption: string | undefined;
  /** From now on these ConfigMaps count as if they were in the cluster. */
  plan(configMaps: ConfigMapFiles): void;
  /** Resolves once everything that the resources refer to is known too. */
  settled(): Promise<void>;
  close(): Promise<void>;
}

/** Reads a cluster with the code of the control plane, and the rights of the user. Rejects with a sentence. */
export async function readCluster(
  reach: Pick<ClusterReach, 'kubeconfig' | 'context'>,
  given: GivenMesh,
  environment: NodeJS.ProcessEnv,
): Promise<ReadCluster> {
  const config = await loadKubeconfig(reach.kubeconfig, reach.context, environment);
  const connection = apiConnectionOf(config);
  const client = new KubernetesClient(connection);
  const { mesh, clusterDomain, meshDefaults, assumption } = await readInstallation(client, given).catch((error) => {
    client.close();
    throw new Error(cannotRead(connection.url.origin, error instanceof Error ? error.message : String(error)));
  });
  const ending = new AbortController();
  const source = new KubernetesSource({
    client,
    mesh,
    clusterDomain,
    meshDefaults,
    distribution: createPolicyDistribution(mesh),
    metrics: createMetrics(),
    log: (event, { error } = {}) => {
      if (event === 'kubernetes_discovery_failed') refusal ??= String(error);
    },
    printProblems: () => {},
    plannedConfigMap: (...name) => planned?.text(...name),
    signal: ending.signal,
  });
  let refusal: string | undefined;
  let planned: ConfigMapFiles | undefined;
  const close = async () => {
    ending.abort();
    await source.close();
    client.close();
  };

  /** Waits until it holds. What failed is not waited for; what is read already may well be forbidden to watch. */
  const until = async (isSo: () => boolean): Promise<void> => {
    const deadlineMs = performance.now() + READ_TIMEOUT_MS;
    let refusedAtMs: number | undefined;
    while (!isSo()) {
      const nowMs = performance.now();
      const failure = refusal ?? source.watches.find(({ isSynced, error }) => !isSynced && error !== undefined)?.error;
      if (failure !== undefined) {
        refusedAtMs ??= nowMs;
        const areOthersWaitedFor = isForbidden(failure) && nowMs - refusedAtMs < REFUSALS_TIMEOUT_MS;
        if (!areOthersWaitedFor || areAllDecided(source.watches)) {
          const missing = missingRights(source.watches);
          throw new Error(cannotRead(connection.url.origin, missing ?? failure, missing !== undefined));
        }
      }
      if (nowMs > deadlineMs) {
        throw new Error(cannotRead(connection.url.origin, `no answer in ${READ_TIMEOUT_MS} ms`));
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_INTERVAL_MS));
    }
  };

  let isRead = false;
  const started = source.start().then(
    () => {
      isRead = true;
    },
    () => {}, // ended while it waited: `until` said why
  );
  try {
    await until(() => isRead);
  } catch (error) {
    await close();
    await started;
    throw error;
  }
  return {
    state: source.state,
    assumption,
    plan(configMaps) {
      planned = configMaps;
      for (const name of configMaps.names) source.state.configMapChanged(...name);
    },
    settled: () =>
      until(() =>
        [...source.state.resources.configMapKeys()].every((key) => {
          const [namespace = '', name = ''] = key.split('/');
          return source.state.configMapText(namespace, name, '').kind !== 'unknown';
        }),
      ),
    close,
  };
}

function cannotRead(server: string, why: string, isRightMissing = isForbidden(why)): string {
  const hint = isRightMissing
    ? 'docs/operating.md has a ClusterRole that allows it'
    : 'is the cluster up, and --context the right one?';
  return `cannot read the cluster ${server}: ${why}; ${hint}`;
}
