import type { Snapshot } from '#policy/resource-set.ts';

/** Thrown by `ApplySnapshot` when a snapshot cannot be put in force; the version before it stays. */
export class SnapshotRefused extends Error {
  /** One line a problem. */
  readonly reasons: readonly string[];

  constructor(reasons: readonly string[]) {
    super(reasons.join('; '));
    this.name = 'SnapshotRefused';
    this.reasons = reasons;
  }
}

/** Puts a snapshot in force; resolves once every new exchange is decided by it. Calls never overlap. */
export type ApplySnapshot = (snapshot: Snapshot) => Promise<void>;

/** Where a sidecar's policies come from: the control plane, or a folder (standalone). */
export interface PolicySource {
  /** Begins to deliver snapshots; resolves once the first is in force. */
  start(apply: ApplySnapshot): Promise<void>;
  close(): void;
}
