import type { Resource } from '../resource/kind.ts';
import { type AuthorizationPolicySpec, isForSidecars } from '../resource/kinds/authorization-policy.ts';
import { selects } from '../resource/kinds/workload-selector.ts';
import type {
  AuthorizationDecision,
  AuthorizationRequest,
  Authorizer,
  BoundWorkload,
  EffectiveDefaults,
  Mesh,
} from '../workload-policy.ts';
import { type CompiledRule, compileRule, type Miss } from './compile-rule.ts';

/** A rule with the decision that its match means, made once. */
interface DecidingRule extends CompiledRule {
  readonly policy: string;
  readonly index: number;
  readonly decision: AuthorizationDecision;
}

/**
 * Compiles the policies that bind the workload (those that do not are left out): DENY first, then ALLOW, then
 * the mesh's default. Source: Istio, for a sidecar. A decision that a rule makes allocates nothing. `ownDomains`: all names of the
 * own trust domain, where it has several.
 */
export function compileAuthorizer(
  policies: readonly Resource<AuthorizationPolicySpec>[],
  workload: Pick<BoundWorkload, 'namespace' | 'name' | 'labels'>,
  mesh: Mesh,
  defaults: Pick<EffectiveDefaults, 'authorizationDefault'>,
  ownDomains: readonly string[] = [],
): Authorizer {
  const compile = (policy: Resource<AuthorizationPolicySpec>) => compilePolicy(policy, ownDomains);
  const binding = policies.filter(
    ({ namespace, spec }) => isForSidecars(spec) && selects(namespace, spec.selector, workload, mesh.rootNamespace),
  );
  const denials = binding.filter(({ spec }) => spec.action === 'DENY').flatMap(compile);
  const allowing = binding.filter(({ spec }) => spec.action === 'ALLOW');
  const allowances = allowing.flatMap(compile);
  const unbound = withoutAllowPolicy(workload, defaults);
  return {
    decide(request) {
      for (const rule of denials) if (rule.matches(request)) return rule.decision;
      for (const rule of allowances) if (rule.matches(request)) return rule.decision;
      return allowing.length === 0 ? unbound : notAllowed(allowing, allowances, request);
    },
  };
}

function compilePolicy(
  { namespace, name, spec }: Resource<AuthorizationPolicySpec>,
  ownDomains: readonly string[],
): readonly DecidingRule[] {
  const { action } = spec;
  const policy = `${namespace}/${name}`;
  return (spec.rules ?? []).map((rule, index) => {
    const reason = `rule ${index} of ${action} policy ${policy} matched`;
    const decision: AuthorizationDecision =
      action === 'DENY'
        ? { kind: 'deny', code: 'authorization_denied', policy, rule: index, reason }
        : { kind: 'allow', policy, rule: index, reason };
    return { ...compileRule(rule, action, { namespace, ownDomains }), policy, index, decision };
  });
}

function withoutAllowPolicy(
  { namespace, name }: Pick<BoundWorkload, 'namespace' | 'name'>,
  { authorizationDefault }: Pick<EffectiveDefaults, 'authorizationDefault'>,
): AuthorizationDecision {
  const facts = { policy: undefined, rule: undefined };
  const reason = `no ALLOW policy binds ${namespace}/${name} and MeshDefaults.authorization.default is ${authorizationDefault}`;
  if (authorizationDefault === 'Allow') return { kind: 'allow', ...facts, reason };
  return { kind: 'deny', code: 'authorization_default_deny', ...facts, reason };
}

/** Names the rule with the most clauses satisfied, and the first of its clauses that failed. */
function notAllowed(
  allowing: readonly Resource<AuthorizationPolicySpec>[],
  allowances: readonly DecidingRule[],
  request: AuthorizationRequest,
): AuthorizationDecision {
  let nearest: { readonly rule: DecidingRule; readonly miss: Miss } | undefined;
  for (const rule of allowances) {
    const miss = rule.miss(request);
    if (nearest === undefined || miss.satisfied > nearest.miss.satisfied) nearest = { rule, miss };
  }
  const count = allowing.length === 1 ? '1 ALLOW policy' : `${allowing.length} ALLOW policies`;
  const bind = allowing.length === 1 ? 'binds' : 'bind';
  const code = 'authorization_not_allowed';
  if (nearest === undefined) {
    const [first] = allowing;
    const policy = first === undefined ? undefined : `${first.namespace}/${first.name}`;
    return {
      kind: 'deny',
      code,
      policy,
      rule: undefined,
      reason: `${count} ${bind} the workload, without any rule: all is denied`,
    };
  }
  const { policy, index } = nearest.rule;
  const reason = `no rule of ${count} matched; nearest ${policy} rule ${index}: ${nearest.miss.failing}`;
  return { kind: 'deny', code, policy, rule: index, reason };
}
