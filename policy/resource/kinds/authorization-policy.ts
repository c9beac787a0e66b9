import type { ReadContext } from '../../schema/schema.ts';
import {
  choice,
  defaulted,
  type Infer,
  list,
  object,
  optional,
  required,
  string,
  withCel,
} from '../../schema/schema.ts';
import { DRY_RUN } from '../dry-run.ts';
import type { ResourceKind } from '../kind.ts';
import { ATTACHED_ONE_WAY, attachmentFields, checkAttachment } from './attachment.ts';
import { authorizationRule } from './authorization-rule.ts';

const authorizationPolicyFields = object({
  ...attachmentFields,
  action: defaulted(
    choice(['ALLOW', 'DENY', 'AUDIT', 'CUSTOM'], {
      description:
        'What a match of a rule means. AUDIT: it is noted in the access log, and decides nothing. CUSTOM: the provider is asked first.',
    }),
    'ALLOW',
  ),
  mode: optional(
    choice(['Enforce', 'Audit'], {
      description:
        'Under lateral.dev alone. Audit: the policy is on trial; what it would refuse is recorded and goes on. Absent: Enforce.',
    }),
  ),
  rules: optional(list(authorizationRule)),
  provider: optional(
    object({ name: required(string({ description: 'One of MeshDefaults.extensionProviders.' })) }, 'Of action CUSTOM.'),
  ),
});

const authorizationPolicySpec = withCel(
  authorizationPolicyFields,
  ATTACHED_ONE_WAY,
  {
    rule: "!has(self.action) || self.action != 'DENY' || (has(self.rules) && size(self.rules) > 0)",
    message: 'DENY without rules is meaningless: it never applies; `rules: [{}]` denies all',
  },
  {
    rule: "(has(self.action) && self.action == 'CUSTOM') == has(self.provider)",
    message: 'provider goes with action CUSTOM, and CUSTOM with provider',
  },
);

export type AuthorizationPolicySpec = Infer<typeof authorizationPolicySpec>;

export const authorizationPolicyKind: ResourceKind<AuthorizationPolicySpec> = {
  kind: 'AuthorizationPolicy',
  plural: 'authorizationpolicies',
  apiVersions: ['security.istio.io/v1', 'security.istio.io/v1beta1', 'lateral.dev/v1alpha1'],
  spec: authorizationPolicySpec,
  description: 'Says which callers may make which requests to the workloads it binds.',
  check(policy, _mesh, context) {
    const { apiVersion, spec, isOnTrial } = policy;
    checkAttachment(policy, 'a policy', context);
    if (spec.mode !== undefined && !apiVersion.startsWith('lateral.dev/')) {
      const message = `Istio knows no mode: annotate the policy with ${DRY_RUN}: "true", or write it under lateral.dev/v1alpha1`;
      context.fail(['spec', 'mode'], 'unknown_field', message, 'key');
    }
    if (spec.mode === 'Audit' && spec.action === 'AUDIT') {
      const message = 'an AUDIT policy refuses nothing anyway; on trial it is not even noted';
      context.warn(['spec', 'mode'], 'suspicious_value', message, 'key');
    }
    for (const [index, { condition }] of (spec.rules ?? []).entries()) {
      if (condition === undefined || apiVersion.startsWith('lateral.dev/')) continue;
      const message = 'Istio knows no condition: write the policy under lateral.dev/v1alpha1';
      context.fail(['spec', 'rules', index, 'condition'], 'unknown_field', message, 'key');
    }
    checkProvider(spec, isOnTrial ?? false, context);
    if (spec.action === 'DENY' && (spec.rules ?? []).length === 0) {
      context.fail(
        ['spec'],
        'missing_field',
        'DENY without rules is meaningless: it never applies; `rules: [{}]` denies all',
      );
    }
  },
};

function checkProvider({ action, provider, rules }: AuthorizationPolicySpec, isOnTrial: boolean, context: ReadContext) {
  const path = ['spec', 'action'];
  if (action !== 'CUSTOM') {
    if (provider === undefined) return;
    context.fail(['spec', 'provider'], 'invalid_value', `provider goes with action CUSTOM, not with ${action}`, 'key');
    return;
  }
  if (provider === undefined) context.fail(path, 'missing_field', 'CUSTOM needs provider: {name: …}');
  if ((rules ?? []).length === 0)
    context.warn(path, 'invalid_value', 'CUSTOM without rules never asks; `rules: [{}]` asks of all');
  if (isOnTrial)
    context.fail(path, 'invalid_value', 'a CUSTOM policy cannot be on trial: its provider would have to be asked');
}
