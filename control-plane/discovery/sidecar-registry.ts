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
}

/** The sidecars that are connected now. */
export interface SidecarRegistry {
  add(sidecar: SidecarStatus): void;
  remove(sidecar: SidecarStatus): void;
  readonly sidecars: readonly SidecarStatus[];
}

export function createSidecarRegistry(): SidecarRegistry {
  const connected = new Set<SidecarStatus>();
  return {
    add: (sidecar) => connected.add(sidecar),
    remove: (sidecar) => connected.delete(sidecar),
    get sidecars() {
      return [...connected];
    },
  };
}
