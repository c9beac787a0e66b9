import { givenForm } from '#policy/mtls/mark-plaintext.ts';
import type { ResourceDocument } from '#policy/resource-set.ts';
import type { ComposedSnapshot, SharedResources } from '#policy/snapshot/composed-snapshot.ts';
import type { SidecarStatus } from '../discovery/sidecar-registry.ts';

/** Sidecars that are named of those that refused one resource. */
export const MAX_NAMED_SIDECARS = 5;

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
  /**
   * NAMESPACE/NAME of some of them, in order. Not why: what a sidecar says is its own word, and this is shown to whoever may
   * read the resource.
   */
  readonly refusedBy: readonly string[];
}

interface Tally {
  readonly version: string;
  bound: number;
  acked: number;
  nacked: number;
  readonly refusedBy: Set<string>;
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
  for (const { target, inForce, count, refusedBy } of groupsOf(sidecars)) {
    for (const document of [...policiesOf(target), ...services.flatMap((one) => target.find(one) ?? [])]) {
      const { key, version } = document;
      const tally = tallies.get(key) ?? tallyOf(document);
      tallies.set(key, tally);
      tally.bound += count;
      if (inForce !== undefined && inForce.find(key)?.version === version) {
        tally.acked += count;
      } else if (refusedBy !== undefined) {
        tally.nacked += count;
        for (const name of refusedBy) tally.refusedBy.add(name);
      }
    }
  }
  return [...tallies].map(([key, { refusedBy, ...counts }]) => ({ key, ...counts, refusedBy: firstNames(refusedBy) }));
}

/** Of the version by which the resource is known where it is written, which what travels may say more than. */
function tallyOf(document: ResourceDocument): Tally {
  return { version: givenForm(document).version, bound: 0, acked: 0, nacked: 0, refusedBy: new Set() };
}

interface SidecarGroup {
  readonly target: ComposedSnapshot;
  readonly inForce: ComposedSnapshot | undefined;
  /** Some that refused the target; undefined: none did. */
  readonly refusedBy: string[] | undefined;
  count: number;
}

function groupsOf(sidecars: readonly SidecarStatus[]): Iterable<SidecarGroup> {
  const groups = new Map<string, SidecarGroup>();
  for (const sidecar of sidecars) {
    const { target, inForce } = sidecar.snapshots();
    const isRefused = sidecar.refused?.version === target.version;
    const id = `${target.version} ${inForce?.version ?? ''} ${isRefused}`;
    const group = groups.get(id) ?? { target, inForce, refusedBy: isRefused ? [] : undefined, count: 0 };
    groups.set(id, group);
    group.count += 1;
    const { namespace, name } = sidecar.workload;
    if (group.refusedBy !== undefined && group.refusedBy.length < MAX_NAMED_SIDECARS) {
      group.refusedBy.push(`${namespace}/${name}`);
    }
  }
  return groups.values();
}

/** In order, so that the same state reads the same. */
export function firstNames(names: Iterable<string>): readonly string[] {
  return [...new Set(names)].sort().slice(0, MAX_NAMED_SIDECARS);
}

const sharedPolicies = new WeakMap<SharedResources, readonly ResourceDocument[]>();

function policiesOf({ own, shared }: ComposedSnapshot): readonly ResourceDocument[] {
  const known = sharedPolicies.get(shared);
  const found = known ?? shared.resources.filter(({ key }) => !key.startsWith('MeshService/'));
  if (known === undefined) sharedPolicies.set(shared, found);
  return [...own, ...found];
}
