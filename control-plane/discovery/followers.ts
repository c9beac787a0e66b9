import type { ResourceIndex, SelectedWorkload } from '#policy/snapshot/select-snapshot.ts';

interface Follower {
  readonly workload: SelectedWorkload;
  readonly tell: () => void;
}

/** Who is told of which change: a change of one policy passes by thousands of sidecars, and is not even held against them. */
export class Followers {
  readonly #byNamespace = new Map<string, Set<Follower>>();

  /** Tells of every change that may give the workload another snapshot, until the function is called that it returns. */
  add(workload: SelectedWorkload, tell: () => void): () => void {
    const { namespace } = workload;
    const follower = { workload, tell };
    const neighbours = this.#byNamespace.get(namespace) ?? new Set<Follower>();
    this.#byNamespace.set(namespace, neighbours.add(follower));
    return () => {
      neighbours.delete(follower);
      if (neighbours.size === 0 && this.#byNamespace.get(namespace) === neighbours) this.#byNamespace.delete(namespace);
    };
  }

  tellOf(index: ResourceIndex): void {
    const namespaces = index.concernedNamespaces ?? [...this.#byNamespace.keys()];
    for (const namespace of namespaces) {
      const neighbours = this.#byNamespace.get(namespace) ?? new Set();
      // Some may leave, and others come, while one is told: those that came know the index already.
      for (const follower of [...neighbours]) {
        if (neighbours.has(follower) && index.concerns(follower.workload)) follower.tell();
      }
    }
  }
}
