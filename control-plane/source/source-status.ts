/** What the control plane knows of its policy source. */
export interface SourceStatus {
  /** Joint version of all resources in force; each workload's snapshot has its own. */
  readonly version: string;
  readonly resourceCount: number;
  readonly lastApply: {
    readonly at: string;
    /** False: the source has errors, and an earlier set stays in force. */
    readonly isInForce: boolean;
    /** `file:line:column: severity code message`, errors and warnings. */
    readonly problems: readonly string[];
  };
}
