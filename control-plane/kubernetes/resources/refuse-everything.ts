import { readDryRun } from '#policy/resource/dry-run.ts';
import { workloadSelector } from '#policy/resource/kinds/workload-selector.ts';
import { resourceDocument } from '#policy/resource/resource-document.ts';
import type { ResourceDocument } from '#policy/resource-set.ts';
import { isRecord } from '#policy/schema/schema.ts';
import type { MeshObject } from './mesh-objects.ts';

/** Of these nothing is ever enforced, good or not. */
const WITHOUT_EFFECT: ReadonlySet<unknown> = new Set(['AUDIT']);
/** Signs nothing: beside it, the tokens that are accepted are those of resources that are good. */
const NO_ISSUER = { issuer: 'none, until the resource is mended', jwks: '{"keys":[]}' };

/**
 * What stands in for an AuthorizationPolicy, PeerAuthentication or RequestAuthentication that never was good: the strictest that it could have
 * meant, for its workloads (those of its namespace, where the selector cannot be read). Left out it would leave them open to
 * whomever the mesh lets in by default. Undefined for what refuses nobody, and for all other kinds.
 */
export function refuseEverything(object: MeshObject, name: string): ResourceDocument | undefined {
  const { kind, metadata, document } = object;
  const spec = isRecord(document.spec) ? document.spec : {};
  const strictest = strictestOf(object);
  if (strictest === undefined) return undefined;
  const selector = readableSelector(spec.selector);
  return resourceDocument({
    apiVersion: 'lateral.dev/v1alpha1',
    kind,
    namespace: metadata.namespace,
    name,
    spec: { ...(selector === undefined ? {} : { selector }), ...strictest },
  });
}

function strictestOf({ kind, metadata, document }: MeshObject): { readonly [field: string]: unknown } | undefined {
  if (kind === 'PeerAuthentication') return { mtls: { mode: 'STRICT' } };
  const { spec } = document;
  // Istio means these for gateways and waypoints: no sidecar obeys them, good or not.
  const isForGateways =
    isRecord(spec) &&
    document.apiVersion !== 'lateral.dev/v1alpha1' &&
    (spec.targetRefs ?? spec.targetRef) !== undefined;
  if (kind === 'RequestAuthentication') return isForGateways ? undefined : { jwtRules: [NO_ISSUER] };
  if (kind !== 'AuthorizationPolicy' || readDryRun(metadata.annotations) === true) return undefined;
  if (!isRecord(spec)) return { action: 'DENY', rules: [{}] };
  if (isForGateways || WITHOUT_EFFECT.has(spec.action)) return undefined;
  if (document.apiVersion === 'lateral.dev/v1alpha1' && spec.mode === 'Audit') return undefined;
  // Without rules it lets nobody in, and takes away nothing that other policies allow.
  if ((spec.action ?? 'ALLOW') === 'ALLOW') return { action: 'ALLOW' };
  // DENY and CUSTOM, and a word that is neither: whom it would have refused is not known.
  return { action: 'DENY', rules: [{}] };
}

/** The selector as it is given; undefined where anything is wrong with it. */
function readableSelector(selector: unknown): unknown {
  if (selector === undefined) return undefined;
  let isWhole = true;
  const fault = () => {
    isWhole = false;
  };
  const read = workloadSelector.read(selector, [], { fail: fault, warn: () => {} });
  return isWhole && read !== undefined ? selector : undefined;
}
