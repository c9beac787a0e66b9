import { CONTROL_PLANE_KINDS } from '#policy/resource/known-kinds.ts';
import { ComposedSnapshot, SharedResources } from '#policy/snapshot/composed-snapshot.ts';

const ALL = Object.keys(CONTROL_PLANE_KINDS);

/** By what is left out; sidecars of one version leave out the same. */
const reducedShared = new WeakMap<SharedResources, Map<string, SharedResources>>();
const reducedSnapshots = new WeakMap<ComposedSnapshot, Map<string, ComposedSnapshot>>();

/** The snapshot for a sidecar that reads only these of the kinds that the control plane makes; the very snapshot where that is all. */
export function readable(snapshot: ComposedSnapshot, kinds: readonly string[]): ComposedSnapshot {
  const left = ALL.filter((kind) => !kinds.includes(kind));
  if (left.length === 0) return snapshot;
  const { shared, own } = snapshot;
  const without = left.join();
  return kept(reducedSnapshots, snapshot, without, () => {
    const reduced = kept(
      reducedShared,
      shared,
      without,
      () => new SharedResources(shared.resources.filter(({ key }) => !left.some((kind) => key.startsWith(`${kind}/`)))),
    );
    return new ComposedSnapshot(reduced, own);
  });
}

/** Sidecars that are alike get the very same object. */
function kept<Key extends WeakKey, Value>(
  known: WeakMap<Key, Map<string, Value>>,
  key: Key,
  name: string,
  make: () => Value,
): Value {
  const byName = known.get(key) ?? new Map<string, Value>();
  known.set(key, byName);
  const value = byName.get(name) ?? make();
  byName.set(name, value);
  return value;
}
