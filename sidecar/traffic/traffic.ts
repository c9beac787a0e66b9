import type { PolicyTarget } from '../policy/policy-target.ts';
import type { Metrics } from '../telemetry/metrics.ts';

/** What carries a sidecar's requests: this thread, or several workers. */
export interface Traffic extends PolicyTarget {
  /** Opens the traffic listeners; policies must be in force. Rejects where a port cannot be had. */
  open(): Promise<void>;
  /** All listeners are open, in every thread. */
  readonly isServing: boolean;
  /** What was counted up to now, in all threads together. */
  metrics(): Promise<Metrics>;
  /** Stops accepting, lets requests under way end for up to DRAIN_TIMEOUT_MS; all they left to record is recorded then. */
  drain(): Promise<void>;
}
