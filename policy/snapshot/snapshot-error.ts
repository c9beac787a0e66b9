/** A snapshot, or a resource in it, cannot be read or compiled; what was in force before must stay so. */
export class SnapshotError extends Error {
  /** One line a problem. */
  readonly reasons: readonly string[];

  constructor(reasons: readonly string[]) {
    super(reasons.join('; '));
    this.name = 'SnapshotError';
    this.reasons = reasons;
  }
}
