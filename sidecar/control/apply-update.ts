import { snapshotOf } from '#policy/resource/resource-document.ts';
import type { ResourceDocument, Snapshot } from '#policy/resource-set.ts';
import type { Update } from '#proto/gen/lateral/v1/discovery.ts';

export type UpdateResult =
  | { readonly kind: 'snapshot'; readonly snapshot: Snapshot }
  /** The update does not fit what is in force; only a complete one helps. */
  | { readonly kind: 'mismatch'; readonly reason: string };

/** The snapshot that an update makes of the one in force. Its version is computed, not believed. */
export function applyUpdate(inForce: Snapshot | undefined, update: Update): UpdateResult {
  const resources = new Map<string, ResourceDocument>();
  if (update.previousVersion !== '') {
    if (update.previousVersion !== inForce?.version) {
      const held = inForce === undefined ? 'none' : inForce.version;
      return mismatch(`the update starts from version ${update.previousVersion}, in force is ${held}`);
    }
    for (const resource of inForce.resources) resources.set(resource.key, resource);
  }
  for (const key of update.removedKeys) resources.delete(key);
  for (const { key, version, document } of update.upserts) {
    resources.set(key, { key, version, document: document.toString('utf8') });
  }
  const snapshot = snapshotOf([...resources.values()]);
  if (snapshot.version !== update.version) {
    return mismatch(`the update makes version ${snapshot.version}, and says ${update.version}`);
  }
  return { kind: 'snapshot', snapshot };
}

function mismatch(reason: string): UpdateResult {
  return { kind: 'mismatch', reason };
}
