import type { ResourceDocument } from '#policy/resource-set.ts';
import type { ComposedSnapshot } from '#policy/snapshot/composed-snapshot.ts';
import { indexResources, type SelectedWorkload } from '#policy/snapshot/select-snapshot.ts';
import type { Mesh } from '#policy/workload-policy.ts';
import type { Resource } from '#proto/gen/lateral/v1/discovery.ts';
import { Followers } from './followers.ts';
import { readable } from './readable-snapshot.ts';

/** The resources in force, and what of them each workload gets. */
export interface PolicyDistribution {
  /**
   * Puts a set in force as a whole and tells everybody whom the change concerns. A document that is the very object it was before costs next
   * to nothing.
   */
  publish(resources: readonly ResourceDocument[]): void;
  /**
   * Puts documents of the control plane's own making in force beside those of the source; each takes the place of an earlier one of
   * its key.
   */
  publishOwn(documents: readonly ResourceDocument[]): void;
  /** `kinds`: of those that only the control plane makes, the ones that the sidecar reads; default: all. */
  snapshotFor(workload: SelectedWorkload, kinds?: readonly string[]): ComposedSnapshot;
  /** The resource as it goes over the wire; its bytes are made once for all sidecars. */
  wireResource(resource: ResourceDocument): Resource;
  /** Calls back after each publication that may give the workload another snapshot; returns the function that ends it. */
  follow(workload: SelectedWorkload, listener: () => void): () => void;
  readonly resourceCount: number;
  /** Of the source; another list after each publication. */
  readonly resources: readonly ResourceDocument[];
}

/** A distribution with nothing in force yet. */
export function createPolicyDistribution(mesh: Mesh): PolicyDistribution {
  let index = indexResources([], mesh);
  let resourceCount = 0;
  const wireResources = new WeakMap<ResourceDocument, Resource>();
  const followers = new Followers();
  const own = new Map<string, ResourceDocument>();
  let given: readonly ResourceDocument[] = [];

  const apply = () => {
    index = indexResources([...given, ...own.values()], mesh, index);
    followers.tellOf(index);
  };

  return {
    publish(resources) {
      given = resources;
      resourceCount = resources.length;
      apply();
    },
    publishOwn(documents) {
      for (const document of documents) own.set(document.key, document);
      apply();
    },
    snapshotFor(workload, kinds) {
      const snapshot = index.select(workload);
      return kinds === undefined ? snapshot : readable(snapshot, kinds);
    },
    wireResource(resource) {
      const known = wireResources.get(resource);
      if (known !== undefined) return known;
      const { key, version, document } = resource;
      const encoded = { key, version, document: Buffer.from(document), inChunks: false };
      wireResources.set(resource, encoded);
      return encoded;
    },
    follow: (workload, listener) => followers.add(workload, listener),
    get resourceCount() {
      return resourceCount;
    },
    get resources() {
      return given;
    },
  };
}
