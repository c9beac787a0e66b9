import type { Snapshot } from '#policy/resource-set.ts';
import { SnapshotError } from '#policy/snapshot/snapshot-error.ts';
import type { EffectiveDefaults } from '#policy/workload-policy.ts';
import { SnapshotRefused } from './policy-source.ts';
import type { PolicyTarget } from './policy-target.ts';

/** Which version is in force in the whole sidecar, since when, and what was refused: for probes, metrics and operators. */
export class PolicyStatus {
  #snapshot: Snapshot | undefined;
  #defaults: EffectiveDefaults | undefined;
  /** Milliseconds since the epoch; 0: none yet. */
  appliedAtMs = 0;
  applied = 0;
  refused = 0;
  /** Why the last snapshot was refused; empty: it was not. */
  lastReasons: readonly string[] = [];

  /** Undefined before the first snapshot is in force. */
  get snapshot(): Snapshot | undefined {
    return this.#snapshot;
  }

  get defaults(): EffectiveDefaults | undefined {
    return this.#defaults;
  }

  /** Records that a new version could not even be read; the one in force stays. */
  noteRefused(reasons: readonly string[]): void {
    this.refused++;
    this.lastReasons = reasons;
  }

  /** Puts a snapshot in force in `target`; throws SnapshotRefused, and what was in force stays. */
  async apply(snapshot: Snapshot, target: PolicyTarget): Promise<void> {
    try {
      const prepared = await target.prepare(snapshot);
      await prepared.commit();
      this.#defaults = prepared.defaults;
    } catch (error) {
      this.noteRefused(reasonsOf(error));
      throw new SnapshotRefused(this.lastReasons);
    }
    this.#snapshot = snapshot;
    this.appliedAtMs = Date.now();
    this.applied++;
    this.lastReasons = [];
  }
}

/** One line a reason for which a snapshot was not put in force. */
export function reasonsOf(error: unknown): readonly string[] {
  if (error instanceof SnapshotError || error instanceof SnapshotRefused) return error.reasons;
  return [error instanceof Error ? error.message : String(error)];
}
