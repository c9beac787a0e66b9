import type { JudgedResource } from '../resources/mesh-resources.ts';
import type { Condition } from './conditions.ts';

export type StatusFields = { readonly [field: string]: unknown };

/** What there is to say of one resource. */
export interface Findings {
  readonly judged: JudgedResource;
  readonly conditions: readonly Condition[];
  /** Pods with a sidecar that it binds; undefined: it binds none by its kind. */
  readonly workloads: number | undefined;
}

/**
 * How a family of kinds wants it said: the fields of its status to write, lists as a whole, null for what is to go; undefined:
 * nothing of it is ours to say.
 */
export type StatusForm = (findings: Findings, standing: StatusFields, nowIso: string) => StatusFields | undefined;
