import { hashOf, versionLines } from '../resource/resource-document.ts';
import type { ResourceDocument, Snapshot } from '../resource-set.ts';

/** What every workload of a mesh gets, by key; its part of the snapshots' versions is made once for all of them. */
export class SharedResources {
  /** Sorted by key. */
  readonly resources: readonly ResourceDocument[];
  readonly lines: Buffer;

  constructor(resources: readonly ResourceDocument[]) {
    this.resources = [...resources].sort(byKey);
    this.lines = Buffer.from(versionLines(this.resources));
  }
}

/**
 * A snapshot of what all workloads share and what is this one's own: thousands of snapshots of thousands of Services are kept,
 * hashed and compared by the few resources in which they differ.
 */
export class ComposedSnapshot implements Snapshot {
  readonly version: string;
  readonly shared: SharedResources;
  /** Sorted by key; of other kinds than what is shared. */
  readonly own: readonly ResourceDocument[];

  constructor(shared: SharedResources, own: readonly ResourceDocument[]) {
    this.shared = shared;
    this.own = [...own].sort(byKey);
    this.version = versionOf(shared, this.own);
  }

  /** Made anew each time: it is as long as the mesh has Services. */
  get resources(): readonly ResourceDocument[] {
    return [...this.shared.resources, ...this.own].sort(byKey);
  }

  find(key: string): ResourceDocument | undefined {
    return this.own.find((one) => one.key === key) ?? findSorted(this.shared.resources, key);
  }
}

/** What makes one snapshot of another. */
export interface SnapshotDifference {
  readonly upserts: readonly ResourceDocument[];
  readonly removedKeys: readonly string[];
}

/** By what is shared later, then before: one comparison for all sidecars that get the change. */
const sharedDifferences = new WeakMap<SharedResources, WeakMap<SharedResources, SnapshotDifference>>();

export function differenceBetween(before: ComposedSnapshot, after: ComposedSnapshot): SnapshotDifference {
  const own = compareSorted(before.own, after.own);
  if (before.shared === after.shared) return own;
  const toAfter = sharedDifferences.get(after.shared) ?? new WeakMap<SharedResources, SnapshotDifference>();
  sharedDifferences.set(after.shared, toAfter);
  const shared = toAfter.get(before.shared) ?? compareSorted(before.shared.resources, after.shared.resources);
  toAfter.set(before.shared, shared);
  return {
    upserts: [...own.upserts, ...shared.upserts],
    removedKeys: [...own.removedKeys, ...shared.removedKeys],
  };
}

/** The version of all together, as `snapshotOf` has it, without putting them together where one part follows the other. */
function versionOf(shared: SharedResources, own: readonly ResourceDocument[]): string {
  const [first, last] = [shared.resources[0]?.key ?? '', shared.resources.at(-1)?.key ?? ''];
  const isBetween = own.some(({ key }) => key > first && key < last);
  if (isBetween) return hashOf([versionLines([...shared.resources, ...own].sort(byKey))]);
  return hashOf([
    versionLines(own.filter(({ key }) => key < first)),
    shared.lines,
    versionLines(own.filter(({ key }) => key >= first)),
  ]);
}

/** One walk along both, which are sorted by key. */
function compareSorted(before: readonly ResourceDocument[], after: readonly ResourceDocument[]): SnapshotDifference {
  const upserts: ResourceDocument[] = [];
  const removedKeys: string[] = [];
  let position = 0;
  for (const resource of after) {
    for (let old = before[position]; old !== undefined && old.key < resource.key; old = before[++position]) {
      removedKeys.push(old.key);
    }
    const old = before[position];
    if (old?.key !== resource.key) upserts.push(resource);
    else {
      position += 1;
      if (old !== resource && old.version !== resource.version) upserts.push(resource);
    }
  }
  for (const { key } of before.slice(position)) removedKeys.push(key);
  return { upserts, removedKeys };
}

function findSorted(resources: readonly ResourceDocument[], key: string): ResourceDocument | undefined {
  let low = 0;
  let high = resources.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const found = resources[middle];
    if (found === undefined || found.key >= key) high = middle;
    else low = middle + 1;
  }
  const found = resources[low];
  return found?.key === key ? found : undefined;
}

function byKey(left: ResourceDocument, right: ResourceDocument): number {
  return left.key < right.key ? -1 : 1;
}
