import { isDeepStrictEqual } from 'node:util';
import { selects, type WorkloadSelector } from '#policy/resource/kinds/workload-selector.ts';
import type { ClusterPod } from './cluster-objects.ts';

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

  /** Living pods that a policy of this namespace binds, and how many of them have a sidecar that could enforce it. */
  count(
    namespace: string,
    selector: WorkloadSelector | undefined,
    rootNamespace: string,
  ): { readonly pods: number; readonly meshed: number } {
    const candidates =
      namespace === rootNamespace ? this.#pods.values() : (this.#byNamespace.get(namespace)?.values() ?? []);
    let pods = 0;
    let meshed = 0;
    for (const pod of candidates) {
      if (!pod.isAlive || !selects(namespace, selector, pod, rootNamespace)) continue;
      pods += 1;
      if (pod.injected !== undefined) meshed += 1;
    }
    return { pods, meshed };
  }
}
