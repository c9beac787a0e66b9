import { canonicalAddress } from '#policy/mesh/canonical-address.ts';
import { objectKey } from '../api-object.ts';
import type { ClusterPod } from './cluster-objects.ts';

type PodName = Pick<ClusterPod, 'namespace' | 'name'>;

/** Whose pods have which addresses, living pods alone: those of pods that have ended go to others. */
export class PodAddresses {
  /** By address, spelled by `canonicalAddress`, then by key of the pod: pods in the host's network share theirs. */
  readonly #pods = new Map<string, Map<string, PodName>>();

  /** Takes the change of a pod in; returns the addresses that it got, or lost, by it. */
  changed(pod: ClusterPod | undefined, previous: ClusterPod | undefined): readonly string[] {
    const before = addressesOf(previous);
    const after = addressesOf(pod);
    const lost = before.filter((address) => !after.includes(address));
    const got = after.filter((address) => !before.includes(address));
    if (previous !== undefined) for (const address of lost) this.#remove(address, previous);
    if (pod !== undefined) for (const address of got) this.#add(address, pod);
    return [...lost, ...got];
  }

  /** The pod that has this address; undefined: none, or several, as in the network of a node. */
  onlyPod(address: string): PodName | undefined {
    const [pod, ...others] = this.#pods.get(canonicalAddress(address))?.values() ?? [];
    return others.length === 0 ? pod : undefined;
  }

  /** A pod of another namespace that has this address. */
  foreignPod(address: string, namespace: string): PodName | undefined {
    const pods = this.#pods.get(canonicalAddress(address))?.values() ?? [];
    for (const pod of pods) if (pod.namespace !== namespace) return pod;
    return undefined;
  }

  #add(address: string, { namespace, name }: ClusterPod): void {
    const pods = this.#pods.get(address) ?? new Map<string, PodName>();
    this.#pods.set(address, pods.set(objectKey({ namespace, name }), { namespace, name }));
  }

  #remove(address: string, pod: ClusterPod): void {
    const pods = this.#pods.get(address);
    pods?.delete(objectKey(pod));
    if (pods?.size === 0) this.#pods.delete(address);
  }
}

function addressesOf(pod: ClusterPod | undefined): readonly string[] {
  return pod?.isAlive === true ? pod.addresses.map(canonicalAddress) : [];
}
