import { isDeepStrictEqual } from 'node:util';
import { servicesBehind, type TargetService } from '#policy/mesh/services-behind.ts';
import { type Attached, attaches } from '#policy/resource/kinds/attachment.ts';
import type { ClusterPod } from './cluster-objects.ts';

/** Living pods that a resource binds, and how many of them have a sidecar to enforce it. */
export interface WorkloadCount {
  readonly pods: number;
  readonly meshed: number;
}

/** Who hears of a pod. */
type PodListener = (pod: ClusterPod | undefined) => void;

/** The pods of the cluster, by key and by namespace. */
export class ClusterPods {
  readonly #byNamespace = new Map<string, Map<string, ClusterPod>>();
  readonly #pods = new Map<string, ClusterPod>();
  readonly #listeners = new Map<string, Set<PodListener>>();

  /** True when something changed that others may see. */
  changed(key: string, pod: ClusterPod | undefined, previous: ClusterPod | undefined): boolean {
    if (pod !== undefined && previous !== undefined && isDeepStrictEqual(pod, previous)) return false;
    const namespace = pod?.namespace ?? previous?.namespace ?? '';
    const pods = this.#byNamespace.get(namespace) ?? new Map<string, ClusterPod>();
    if (pod === undefined) {
      this.#pods.delete(key);
      pods.delete(key);
    } else {
      this.#pods.set(key, pod);
      pods.set(key, pod);
    }
    if (pods.size === 0) this.#byNamespace.delete(namespace);
    else this.#byNamespace.set(namespace, pods);
    for (const listener of [...(this.#listeners.get(key) ?? [])]) listener(pod);
    return true;
  }

  get(key: string): ClusterPod | undefined {
    return this.#pods.get(key);
  }

  values(): Iterable<ClusterPod> {
    return this.#pods.values();
  }

  /** Calls back at each change of one pod; returns the function that ends it. */
  listen(key: string, listener: PodListener): () => void {
    const listeners = this.#listeners.get(key) ?? new Set<PodListener>();
    listeners.add(listener);
    this.#listeners.set(key, listeners);
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#listeners.get(key) === listeners) this.#listeners.delete(key);
    };
  }

  /** `targets`: the services that the policy targets. */
  count(policy: Attached, targets: readonly TargetService[], rootNamespace: string): WorkloadCount {
    const { namespace } = policy;
    const candidates =
      namespace === rootNamespace ? this.#pods.values() : (this.#byNamespace.get(namespace)?.values() ?? []);
    let pods = 0;
    let meshed = 0;
    for (const pod of candidates) {
      if (!pod.isAlive) continue;
      const services = targets.length === 0 ? undefined : servicesBehind(pod, targets);
      if (!attaches(policy, services === undefined ? pod : { ...pod, services }, rootNamespace)) continue;
      pods += 1;
      if (pod.injected !== undefined) meshed += 1;
    }
    return { pods, meshed };
  }
}
