import { list, object, optional, type ReadContext, string } from '../../schema/schema.ts';
import type { BoundWorkload } from '../../workload-policy.ts';
import type { Resource } from '../kind.ts';
import { selects, type WorkloadSelector, workloadSelector } from './workload-selector.ts';

/** Targets of one policy; as many as Istio allows. */
const MAX_TARGETS = 16;

const targetRef = object({
  group: optional(string({ minLength: 0, description: 'API group of what is targeted; empty: the core group.' })),
  kind: optional(string()),
  name: optional(string()),
  namespace: optional(string({ minLength: 0, description: "Absent: the policy's own, and no other can be given." })),
});

const targetRefs = list(targetRef, { maxItems: MAX_TARGETS });
const TARGET_REFS =
  'Under lateral.dev: Services of the namespace (`{kind: Service, name}`), whose workloads are bound. Under security.istio.io they are for gateways and waypoints, and sidecars ignore the policy.';

/** The fields by which a policy says which workloads it binds. */
export const attachmentFields = {
  selector: optional(workloadSelector),
  targetRef: optional(targetRef),
  targetRefs: optional({ ...targetRefs, json: { ...targetRefs.json, description: TARGET_REFS } }),
};

/** The fields alone. */
export const attachment = object(attachmentFields);

/** What Istio's CRDs say of them too. */
export const ATTACHED_ONE_WAY = {
  rule: '!(has(self.selector) && (has(self.targetRef) || has(self.targetRefs)))',
  message: 'targetRefs and selector cannot both be set',
};

interface TargetRef {
  readonly group: string | undefined;
  readonly kind: string | undefined;
  readonly name: string | undefined;
  readonly namespace: string | undefined;
}

export interface AttachmentSpec {
  readonly selector?: WorkloadSelector | undefined;
  readonly targetRef?: TargetRef | undefined;
  readonly targetRefs?: readonly TargetRef[] | undefined;
}

/** What is needed of a policy to know whom it binds. */
export interface Attached {
  readonly apiVersion: string;
  readonly namespace: string;
  readonly spec: AttachmentSpec;
}

const SERVICE_GROUPS: { readonly [kind: string]: string } = { Service: '', MeshService: 'lateral.dev' };

/** A policy of Istio's with targetRefs is meant for gateways and waypoints. */
export function isForSidecars({ apiVersion, spec }: Pick<Attached, 'apiVersion' | 'spec'>): boolean {
  return isOwn(apiVersion) || targetsOf(spec).length === 0;
}

/** Names of the services that a policy targets, all of its own namespace; none: it binds by its selector. */
export function targetedServices({ spec }: Pick<Attached, 'spec'>): readonly string[] {
  return targetsOf(spec).flatMap(({ name }) => name ?? []);
}

/** True when the policy binds the workload: by its selector, or as one that stands behind a Service that it targets. */
export function attaches(
  policy: Attached,
  workload: Pick<BoundWorkload, 'namespace' | 'labels' | 'services'>,
  rootNamespace: string,
): boolean {
  const { namespace, spec } = policy;
  if (targetsOf(spec).length === 0) return selects(namespace, spec.selector, workload, rootNamespace);
  if (!isOwn(policy.apiVersion) || namespace !== workload.namespace) return false;
  return (
    workload.labels === undefined || targetedServices(policy).some((name) => workload.services?.has(name) ?? false)
  );
}

/** Complains of what cannot be attached so. `what`: the policy as a message calls it. */
export function checkAttachment(
  policy: Pick<Resource<AttachmentSpec>, keyof Attached>,
  what: string,
  context: ReadContext,
) {
  const { apiVersion, namespace, spec } = policy;
  if (spec.targetRef === undefined && spec.targetRefs === undefined) return;
  const path = ['spec', spec.targetRefs === undefined ? 'targetRef' : 'targetRefs'];
  if (spec.selector !== undefined) {
    context.fail(path, 'invalid_value', 'targetRefs and selector cannot both be set', 'key');
    return;
  }
  if (!isOwn(apiVersion)) {
    if (isForSidecars(policy)) return;
    const message = `${what} with targetRefs is ignored on sidecars; under lateral.dev/v1alpha1 it can target a Service`;
    context.warn(path, 'invalid_value', message, 'key');
    return;
  }
  if (targetsOf(spec).length === 0) {
    context.fail(
      path,
      'invalid_value',
      'no target is named; without targetRefs all workloads of the namespace are bound',
    );
  }
  for (const [index, ref] of targetsOf(spec).entries()) {
    const place =
      spec.targetRefs === undefined || spec.targetRefs.length === 0 ? ['spec', 'targetRef'] : [...path, index];
    const complaint = targetComplaint(ref, namespace);
    if (complaint !== undefined) context.fail(place, 'invalid_value', complaint);
  }
}

function targetComplaint({ group = '', kind, name, namespace: given = '' }: TargetRef, namespace: string) {
  const wanted = kind === undefined ? undefined : SERVICE_GROUPS[kind];
  if (wanted === undefined || group !== wanted) {
    const shown = [group, kind ?? ''].filter((one) => one !== '').join('/') || 'nothing';
    return `${shown} cannot be targeted; a Service can: {kind: Service, name: …}, or {group: lateral.dev, kind: MeshService, name: …}`;
  }
  if (name === undefined) return 'missing field name: which Service?';
  if (given === '' || given === namespace) return undefined;
  return `a policy targets Services of its own namespace (${namespace}), not of ${given}: write it there`;
}

/** Source: istiod, for which `targetRef` counts where `targetRefs` is empty. */
function targetsOf({ targetRef: one, targetRefs = [] }: AttachmentSpec): readonly TargetRef[] {
  if (targetRefs.length > 0) return targetRefs;
  return one === undefined ? [] : [one];
}

function isOwn(apiVersion: string): boolean {
  return apiVersion.startsWith('lateral.dev/');
}
