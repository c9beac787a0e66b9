import { compileWorkloadPolicy } from '#policy/compile-workload-policy.ts';
import type { Snapshot } from '#policy/resource-set.ts';
import { SnapshotError } from '#policy/snapshot/snapshot-error.ts';
import type { Mesh, Workload, WorkloadPolicy } from '#policy/workload-policy.ts';
import { generateInWorker } from './generate-in-worker.ts';
import { SnapshotRefused } from './policy-source.ts';

/** The one place that holds the law in force. Exchanges take it at their beginning and keep it. */
export class PolicyInForce {
  readonly #workload: Workload;
  readonly #mesh: Mesh;
  #policy: WorkloadPolicy | undefined;
  #snapshot: Snapshot | undefined;
  /** Milliseconds since the epoch; 0: none yet. */
  appliedAtMs = 0;
  applied = 0;
  refused = 0;
  /** Why the last snapshot was refused; empty: it was not. */
  lastReasons: readonly string[] = [];

  constructor(workload: Workload, mesh: Mesh) {
    this.#workload = workload;
    this.#mesh = mesh;
  }

  /** Undefined before the first snapshot is in force. */
  get current(): WorkloadPolicy | undefined {
    return this.#policy;
  }

  get snapshot(): Snapshot | undefined {
    return this.#snapshot;
  }

  /** Records that a new version could not even be read; the one in force stays. */
  noteRefused(reasons: readonly string[]): void {
    this.refused++;
    this.lastReasons = reasons;
  }

  /** Compiles beside the running traffic and swaps at the end; throws SnapshotRefused and changes nothing. */
  async apply(snapshot: Snapshot): Promise<void> {
    try {
      this.#policy = await compileWorkloadPolicy(snapshot, this.#workload, this.#mesh, generateInWorker);
    } catch (error) {
      this.noteRefused(error instanceof SnapshotError ? error.reasons : [String(error)]);
      throw new SnapshotRefused(this.lastReasons);
    }
    this.#snapshot = snapshot;
    this.appliedAtMs = Date.now();
    this.applied++;
    this.lastReasons = [];
  }
}
