import type { ReadContext, Schema } from '../schema/schema.ts';
import type { Mesh } from '../workload-policy.ts';

/** A kind of resource: its names and the schema of its spec, from which reader, type, CRD and docs follow. */
export interface ResourceKind<Spec> {
  readonly kind: string;
  /** Lower-case plural, as CRDs are named. */
  readonly plural: string;
  /** `group/version`s under which it is read; the first is the stored one. */
  readonly apiVersions: readonly string[];
  readonly spec: Schema<Spec>;
  /** One sentence for `kubectl explain` and the docs. */
  readonly description: string;
  /** Rules that need more than the spec: API group, name, the mesh. Paths begin at the document's root. */
  check?(resource: Resource<Spec>, mesh: Mesh, context: ReadContext): void;
}

/** A resource of one kind, read and checked. */
export interface Resource<Spec> {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly spec: Spec;
  /** An AuthorizationPolicy that enforces nothing: what it would decide is told alone (`mode: Audit`, `istio.io/dry-run`). */
  readonly isOnTrial?: boolean;
}
