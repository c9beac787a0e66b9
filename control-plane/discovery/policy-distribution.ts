import type { ResourceDocument, Snapshot } from '#policy/resource-set.ts';
import { indexResources } from '#policy/snapshot/select-snapshot.ts';
import type { Mesh, Workload } from '#policy/workload-policy.ts';
import type { Resource } from '#proto/gen/lateral/v1/discovery.ts';

/** The resources in force, and what of them each workload gets. */
export interface PolicyDistribution {
  /** Puts a set in force as a whole and tells every subscriber. */
  publish(resources: readonly ResourceDocument[]): void;
  snapshotFor(workload: Workload): Snapshot;
  /** The resource as it goes over the wire; its bytes are made once for all sidecars. */
  wireResource(resource: ResourceDocument): Resource;
  /** Calls back after each publication; returns the function that ends it. */
  onChange(listener: () => void): () => void;
  readonly resourceCount: number;
}

/** A distribution with nothing in force yet. */
export function createPolicyDistribution(mesh: Mesh): PolicyDistribution {
  let index = indexResources([], mesh);
  let wireResources = new Map<string, Resource>();
  const listeners = new Set<() => void>();
  const identifier = ({ key, version }: ResourceDocument) => `${key}@${version}`;
  const encode = ({ key, version, document }: ResourceDocument): Resource => ({
    key,
    version,
    document: Buffer.from(document),
  });

  return {
    publish(resources) {
      index = indexResources(resources, mesh);
      // Unchanged resources keep their buffers; those that are gone give theirs back.
      wireResources = new Map(
        resources.map((resource) => {
          const id = identifier(resource);
          return [id, wireResources.get(id) ?? encode(resource)];
        }),
      );
      for (const listener of [...listeners]) listener();
    },
    snapshotFor: (workload) => index.select(workload),
    wireResource: (resource) => wireResources.get(identifier(resource)) ?? encode(resource),
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    get resourceCount() {
      return wireResources.size;
    },
  };
}
