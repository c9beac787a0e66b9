import { readDryRun } from '#policy/resource/dry-run.ts';
import { attachment, checkAttachment } from '#policy/resource/kinds/attachment.ts';
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
  const reach = reachOf(kind === 'PeerAuthentication' ? { selector: spec.selector } : spec, metadata.namespace);
  return resourceDocument({
    apiVersion: 'lateral.dev/v1alpha1',
    kind,
    namespace: metadata.namespace,
    name,
    spec: { ...reach, ...strictest },
  });
}

function strictestOf({ kind, metadata, document }: MeshObject): { readonly [field: string]: unknown } | undefined {
  if (kind === 'PeerAuthentication') return { mtls: { mode: 'STRICT' } };
  const { spec } = document;
  // Istio means these for gateways and waypoints: no sidecar obeys them, good or not.
  const isForGateways = isRecord(spec) && document.apiVersion !== 'lateral.dev/v1alpha1' && hasTargets(spec);
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

/** As istiod sees it: no targets are none. */
function hasTargets({ targetRef, targetRefs }: { readonly [field: string]: unknown }): boolean {
  const isEmpty = targetRefs === undefined || (Array.isArray(targetRefs) && targetRefs.length === 0);
  return !isEmpty || targetRef !== undefined;
}

/** Whom the resource binds as it is given; all of its namespace, where anything is wrong with what it says of that. */
function reachOf(
  { selector, targetRef, targetRefs }: { readonly [field: string]: unknown },
  namespace: string,
): object {
  const given = Object.fromEntries(
    Object.entries({ selector, targetRef, targetRefs }).filter(([, value]) => value !== undefined),
  );
  let isWhole = true;
  const context = {
    fail: () => {
      isWhole = false;
    },
    warn: () => {},
  };
  const spec = attachment.read(given, [], context);
  if (spec !== undefined) checkAttachment({ apiVersion: 'lateral.dev/v1alpha1', namespace, spec }, '', context);
  return isWhole && spec !== undefined ? given : {};
}
