import { type Infer, list, object, optional, withCel } from '../../schema/schema.ts';
import type { ResourceKind } from '../kind.ts';
import { ATTACHED_ONE_WAY, attachmentFields, checkAttachment } from './attachment.ts';
import { jwtRule } from './jwt-rule.ts';

/** Rules of one resource. */
const MAX_JWT_RULES = 256;

const requestAuthenticationSpec = withCel(
  object({
    ...attachmentFields,
    jwtRules: optional(list(jwtRule, { maxItems: MAX_JWT_RULES })),
  }),
  ATTACHED_ONE_WAY,
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
  check: (policy, _mesh, context) => checkAttachment(policy, 'a RequestAuthentication', context),
};
