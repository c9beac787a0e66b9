import type { PolicyTarget } from '../policy/policy-target.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { PlaintextCaller } from '../telemetry/plaintext-callers.ts';

/** What carries a sidecar's requests: this thread, or several workers. */
export interface Traffic extends PolicyTarget {
  /** Opens the traffic listeners; policies must be in force. Rejects where a port cannot be had. */
  open(): Promise<void>;
  /** All listeners are open, in every thread. */
  readonly isServing: boolean;
  /** What was counted up to now, in all threads together. */
  metrics(): Promise<Metrics>;
  /** Who came without an identity within a day, in all threads together; who was seen last first. */
  plaintextCallers(): Promise<readonly PlaintextCaller[]>;
  /** Stops accepting, lets requests under way end for up to DRAIN_TIMEOUT_MS; all they left to record is recorded then. */
  drain(): Promise<void>;
}
