/** Why the last attempt to renew failed. */
export interface RenewalFailure {
  /** As the control plane named it, else of the kind of the failure. */
  readonly code: string;
  readonly reason: string;
  readonly atMs: number;
}

/** Codes of failures that are counted apart; further ones count as `other`. */
export const MAX_FAILURE_CODES = 32;

/** How the renewals of a certificate went since the sidecar started: for metrics, probes and operators. */
export class RenewalRecord {
  renewals = 0;
  /** Undefined: none yet. */
  lastRenewalAtMs: number | undefined;
  /** When the certificate in use was received, by a former process too; undefined: not known. */
  receivedAtMs: number | undefined;
  /** Undefined: the last attempt did not fail. */
  failure: RenewalFailure | undefined;
  readonly #failures = new Map<string, number>();

  /** By code. */
  get failures(): ReadonlyMap<string, number> {
    return this.#failures;
  }

  get failureCount(): number {
    return [...this.#failures.values()].reduce((sum, count) => sum + count, 0);
  }

  noteRenewed(atMs: number): void {
    this.renewals++;
    this.lastRenewalAtMs = atMs;
    this.receivedAtMs = atMs;
    this.failure = undefined;
  }

  noteFailed(failure: RenewalFailure): void {
    this.failure = failure;
    const isCounted = this.#failures.has(failure.code) || this.#failures.size < MAX_FAILURE_CODES;
    const code = isCounted ? failure.code : 'other';
    this.#failures.set(code, (this.#failures.get(code) ?? 0) + 1);
  }
}
