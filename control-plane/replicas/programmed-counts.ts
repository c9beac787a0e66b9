import type { ResourceDocument, Snapshot } from '#policy/resource-set.ts';
import type { SidecarStatus } from '../discovery/sidecar-registry.ts';

/** Reasons that are told of one resource, and how long each may be. */
const MAX_REASONS = 3;
const MAX_REASON_LENGTH = 300;

/** How many sidecars of one replica have a resource in force. */
export interface ProgrammedCount {
  /** KIND/NAMESPACE/NAME. */
  readonly key: string;
  /** Of the resource that the sidecars should have. */
  readonly version: string;
  /** Sidecars that it binds. */
  readonly bound: number;
  readonly acked: number;
  /** Sidecars that refused the version with it. */
  readonly nacked: number;
  /** Why, of some of them. */
  readonly reasons: readonly string[];
}

interface Tally {
  readonly version: string;
  bound: number;
  acked: number;
  nacked: number;
  readonly reasons: Set<string>;
}

/**
 * What the connected sidecars have in force of every resource but Services; of MeshServices those in `services`. Sidecars
 * that are alike are counted together, so that it takes as long as there are different ones.
 */
export function countProgrammed(
  sidecars: readonly SidecarStatus[],
  services: readonly string[],
): readonly ProgrammedCount[] {
  const tallies = new Map<string, Tally>();
  for (const { target, inForce, count, refusals } of groupsOf(sidecars)) {
    for (const { key, version } of [
      ...policiesOf(target),
      ...services.flatMap((one) => findResource(target, one) ?? []),
    ]) {
      const tally = tallies.get(key) ?? { version, bound: 0, acked: 0, nacked: 0, reasons: new Set() };
      tallies.set(key, tally);
      tally.bound += count;
      if (inForce !== undefined && findResource(inForce, key)?.version === version) {
        tally.acked += count;
      } else if (refusals !== undefined) {
        tally.nacked += count;
        for (const reason of refusals) if (tally.reasons.size < MAX_REASONS) tally.reasons.add(reason);
      }
    }
  }
  return [...tallies].map(([key, { reasons, ...counts }]) => ({ key, ...counts, reasons: [...reasons] }));
}

interface SidecarGroup {
  readonly target: Snapshot;
  readonly inForce: Snapshot | undefined;
  /** Why they refused the target; undefined: they did not. */
  readonly refusals: readonly string[] | undefined;
  count: number;
}

function groupsOf(sidecars: readonly SidecarStatus[]): Iterable<SidecarGroup> {
  const groups = new Map<string, SidecarGroup>();
  for (const sidecar of sidecars) {
    const { target, inForce } = sidecar.snapshots();
    const isRefused = sidecar.refused?.version === target.version;
    const id = `${target.version} ${inForce?.version ?? ''} ${isRefused}`;
    const known = groups.get(id);
    if (known !== undefined) {
      known.count += 1;
      continue;
    }
    const refusals = isRefused
      ? sidecar.refused?.reasons.slice(0, MAX_REASONS).map((reason) => reason.slice(0, MAX_REASON_LENGTH))
      : undefined;
    groups.set(id, { target, inForce, refusals, count: 1 });
  }
  return groups.values();
}

const policies = new WeakMap<Snapshot, readonly ResourceDocument[]>();

function policiesOf(snapshot: Snapshot): readonly ResourceDocument[] {
  const known = policies.get(snapshot);
  if (known !== undefined) return known;
  const found = snapshot.resources.filter(({ key }) => !key.startsWith('MeshService/'));
  policies.set(snapshot, found);
  return found;
}

/** By bisection: the resources of a snapshot are sorted by key. */
function findResource({ resources }: Snapshot, key: string): ResourceDocument | undefined {
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
