import type { Snapshot } from '#policy/resource-set.ts';
import type { EffectiveDefaults } from '#policy/workload-policy.ts';

/** A snapshot that is compiled and decides nothing yet. */
export interface PreparedPolicy {
  readonly defaults: EffectiveDefaults;
  /** Puts it in force; once it has resolved, every new exchange is decided by it. */
  commit(): void | Promise<void>;
}

/** Where a snapshot comes in force: this thread, or all workers. */
export interface PolicyTarget {
  /** Compiles beside the running traffic. Rejects where the snapshot cannot be put in force: nothing has changed then. */
  prepare(snapshot: Snapshot): Promise<PreparedPolicy>;
}
