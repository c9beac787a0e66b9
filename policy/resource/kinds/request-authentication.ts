import { type Infer, list, object, optional, string, withCel } from '../../schema/schema.ts';
import type { ResourceKind } from '../kind.ts';
import { jwtRule } from './jwt-rule.ts';
import { workloadSelector } from './workload-selector.ts';

/** Rules of one resource. */
const MAX_JWT_RULES = 256;

const targetRef = object({
  group: optional(string({ minLength: 0 })),
  kind: optional(string()),
  name: optional(string()),
  namespace: optional(string()),
});

const requestAuthenticationSpec = withCel(
  object({
    selector: optional(workloadSelector),
    targetRef: optional(targetRef),
    targetRefs: optional(list(targetRef)),
    jwtRules: optional(list(jwtRule, { maxItems: MAX_JWT_RULES })),
  }),
  {
    rule: '!(has(self.selector) && (has(self.targetRef) || has(self.targetRefs)))',
    message: 'targetRefs and selector cannot both be set',
  },
);

export type RequestAuthenticationSpec = Infer<typeof requestAuthenticationSpec>;

/** RequestAuthentication: which tokens are good. Whether one is needed is AuthorizationPolicy's to say. */
export const requestAuthenticationKind: ResourceKind<RequestAuthenticationSpec> = {
  kind: 'RequestAuthentication',
  plural: 'requestauthentications',
  apiVersions: ['security.istio.io/v1', 'security.istio.io/v1beta1', 'lateral.dev/v1alpha1'],
  spec: requestAuthenticationSpec,
  description:
    'Says whose JSON Web Tokens are accepted by the workloads it binds: what brings another is refused, what brings none goes on without claims.',
  check({ apiVersion, spec }, _mesh, context) {
    if (isForSidecars(spec)) return;
    const path = ['spec', spec.targetRefs === undefined ? 'targetRef' : 'targetRefs'];
    if (spec.selector !== undefined) {
      context.fail(path, 'invalid_value', 'targetRefs and selector cannot both be set', 'key');
    } else if (apiVersion.startsWith('lateral.dev/')) {
      context.fail(path, 'not_implemented', 'targetRefs is not implemented in this version; use selector', 'key');
    } else {
      context.warn(path, 'invalid_value', 'a RequestAuthentication with targetRefs is ignored on sidecars', 'key');
    }
  },
};

/** Istio: a policy with targetRefs is meant for gateways and waypoints. */
export function isForSidecars(spec: Pick<RequestAuthenticationSpec, 'targetRef' | 'targetRefs'>): boolean {
  return spec.targetRef === undefined && spec.targetRefs === undefined;
}
