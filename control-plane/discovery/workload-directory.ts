import type { Workload } from '#policy/workload-policy.ts';

export type ResolvedWorkload =
  /** `addresses`: where it is, as far as that is known. */
  | { readonly kind: 'found'; readonly workload: Workload; readonly addresses: readonly string[] }
  /** The stream is ended with this error. */
  | { readonly kind: 'refused'; readonly error: unknown };

/** Whose address that is; undefined: not known, or of several. */
export type OwnerOf = (address: string) => Pick<Workload, 'namespace' | 'name' | 'serviceAccount'> | undefined;

/** Knows workloads by another's word than their own. */
export interface WorkloadDirectory {
  /**
   * Calls back with the workload that is claimed, at once or once it is known, and again whenever it changes. Throws where
   * it is another's. Returns the function that ends it.
   */
  resolve(
    claimed: Pick<Workload, 'namespace' | 'name' | 'serviceAccount'>,
    found: (resolved: ResolvedWorkload) => void,
  ): () => void;
  readonly ownerOf: OwnerOf;
}
