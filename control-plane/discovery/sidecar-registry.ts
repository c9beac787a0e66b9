import type { ComposedSnapshot } from '#policy/snapshot/composed-snapshot.ts';
import type { TapOrder } from '#proto/gen/lateral/v1/discovery.ts';
import type { SidecarVitals } from './sidecar-vitals.ts';
import type { RefusedVersion } from './subscription.ts';

/** What the control plane knows of one connected sidecar. */
export interface SidecarStatus {
  readonly identity: string;
  readonly workload: {
    readonly name: string;
    readonly namespace: string;
    readonly serviceAccount: string;
    readonly labels: { readonly [key: string]: string };
    readonly ports: readonly number[];
  };
  readonly sidecarVersion: string;
  readonly peer: string;
  readonly connectedAtMs: number;
  lastHeardMs: number;
  inForceVersion: string;
  pendingVersion: string | undefined;
  refused: RefusedVersion | undefined;
  /** How it fares, by its own word; undefined: it has not said. */
  vitals: SidecarVitals | undefined;
  /** Tells it that an operator wants to look on. */
  orderTap(order: TapOrder): void;
  /** What it should have, and what it has acknowledged; undefined: nothing since it connected. */
  snapshots(): { readonly target: ComposedSnapshot; readonly inForce: ComposedSnapshot | undefined };
}

/** The sidecars that are connected now. */
export interface SidecarRegistry {
  add(sidecar: SidecarStatus): void;
  remove(sidecar: SidecarStatus): void;
  /** What a sidecar has in force is another than it was. */
  changed(): void;
  /** Calls back after each change; returns the function that ends it. */
  onChange(listener: () => void): () => void;
  /** Calls back with each sidecar that is connected no longer; returns the function that ends it. */
  onRemoved(listener: (sidecar: SidecarStatus) => void): () => void;
  readonly sidecars: readonly SidecarStatus[];
}

export function createSidecarRegistry(): SidecarRegistry {
  const connected = new Set<SidecarStatus>();
  const listeners = new Set<() => void>();
  const farewells = new Set<(sidecar: SidecarStatus) => void>();
  const changed = () => {
    for (const listener of listeners) listener();
  };
  return {
    add(sidecar) {
      connected.add(sidecar);
      changed();
    },
    remove(sidecar) {
      if (connected.delete(sidecar)) for (const listener of farewells) listener(sidecar);
      changed();
    },
    changed,
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    onRemoved(listener) {
      farewells.add(listener);
      return () => farewells.delete(listener);
    },
    get sidecars() {
      return [...connected];
    },
  };
}
