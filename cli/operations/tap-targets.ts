import type { Readable } from 'node:stream';
import { ADMIN_PORT } from '#control-plane/injection/names.ts';
import type { TapRequest } from '#sidecar/telemetry/tap-request.ts';
import type { PodFacts } from '../cluster/cluster.ts';
import { UsageError } from '../command.ts';
import { loopbackPort } from './dial.ts';
import type { Reach } from './reach-options.ts';
import { openTap } from './tap-sidecar.ts';

/** Pods that one command taps at a time. */
export const MAX_TAPPED_PODS = 20;

/** A sidecar to look on at. */
export interface TapTarget {
  /** For messages and lines. */
  readonly name: string;
  /** Opens the stream of its lines. Rejects with a sentence. */
  open(): Promise<Readable>;
}

/** The sidecars that `NAMESPACE[/WORKLOAD-or-POD]` names; of a reach that is one sidecar, that one. */
export async function tapTargets(
  reach: Reach,
  target: string | undefined,
  request: TapRequest,
  environment: NodeJS.ProcessEnv,
): Promise<readonly TapTarget[]> {
  if (reach.kind === 'sidecar') {
    if (target !== undefined) throw new UsageError(`--sidecar names the sidecar; leave ${target} out`);
    return [{ name: `sidecar on port ${reach.port}`, open: () => openTap(loopbackPort(reach.port), request) }];
  }
  const [namespace = '', name, ...more] = (target ?? '').split('/');
  if (namespace === '' || name === '' || more.length > 0) {
    throw new UsageError(`name what to tap: NAMESPACE, NAMESPACE/WORKLOAD or NAMESPACE/POD (or --sidecar PORT)`);
  }
  if (reach.kind === 'control-plane') {
    const { openRelay } = await import('./open-relay.ts');
    return openRelay(reach.at, namespace, name ?? '', request);
  }
  const { openCluster } = await import('../cluster/cluster.ts');
  const cluster = await openCluster(reach.at, environment);
  try {
    const all = await cluster.meshPods(namespace);
    const pods = name === undefined ? all : all.filter((pod) => isNamed(pod, name));
    if (pods.length === 0) throw new Error(nothingToTap(namespace, name, all));
    if (pods.length > MAX_TAPPED_PODS) {
      const what = name === undefined ? 'name a workload or a pod of it' : 'name one of its pods';
      throw new Error(
        `${target} has ${pods.length} pods with a sidecar, and ${MAX_TAPPED_PODS} can be tapped; ${what}`,
      );
    }
    return pods.map((pod) => ({
      name: pod.name,
      open: () => openTap(() => cluster.forward(pod, ADMIN_PORT), request),
    }));
  } finally {
    cluster.close(); // connections to pods are their own
  }
}

/** A pod by its name; a workload by the name of what made the pod (a ReplicaSet ends with a hash), or by the label app. */
function isNamed({ name, owner, labels }: PodFacts, wanted: string): boolean {
  return (
    name === wanted ||
    owner === wanted ||
    owner.replace(/-[a-z0-9]+$/, '') === wanted ||
    labels.app === wanted ||
    labels['app.kubernetes.io/name'] === wanted
  );
}

function nothingToTap(namespace: string, name: string | undefined, all: readonly PodFacts[]): string {
  if (all.length === 0) {
    return `no running pod of namespace ${namespace} has a sidecar; label the namespace lateral.dev/inject=enabled and restart its pods`;
  }
  const workloads = [...new Set(all.map((pod) => pod.labels.app ?? pod.name))].slice(0, 10).join(', ');
  return `no running pod with a sidecar is ${namespace}/${name}; there are ${workloads}`;
}
