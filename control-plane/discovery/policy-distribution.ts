import type { ResourceDocument, Snapshot } from '#policy/resource-set.ts';
import { indexResources } from '#policy/snapshot/select-snapshot.ts';
import type { Mesh, Workload } from '#policy/workload-policy.ts';
import type { Resource } from '#proto/gen/lateral/v1/discovery.ts';

/** The resources in force, and what of them each workload gets. */
export interface PolicyDistribution {
  /**
   * Puts a set in force as a whole and tells every subscriber. A document that is the very object it was before costs next
   * to nothing.
   */
  publish(resources: readonly ResourceDocument[]): void;
  snapshotFor(workload: Pick<Workload, 'namespace' | 'labels'>): Snapshot;
  /** The resource as it goes over the wire; its bytes are made once for all sidecars. */
  wireResource(resource: ResourceDocument): Resource;
  /** Calls back after each publication; returns the function that ends it. */
  onChange(listener: () => void): () => void;
  readonly resourceCount: number;
}

/** A distribution with nothing in force yet. */
export function createPolicyDistribution(mesh: Mesh): PolicyDistribution {
  let index = indexResources([], mesh);
  let resourceCount = 0;
  const wireResources = new WeakMap<ResourceDocument, Resource>();
  const listeners = new Set<() => void>();

  return {
    publish(resources) {
      index = indexResources(resources, mesh, index);
      resourceCount = resources.length;
      for (const listener of [...listeners]) listener();
    },
    snapshotFor: (workload) => index.select(workload),
    wireResource(resource) {
      const known = wireResources.get(resource);
      if (known !== undefined) return known;
      const { key, version, document } = resource;
      const encoded = { key, version, document: Buffer.from(document) };
      wireResources.set(resource, encoded);
      return encoded;
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    get resourceCount() {
      return resourceCount;
    },
  };
}
