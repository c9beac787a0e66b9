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
import { ClauseCompiler } from './clause-compiler.ts';
import { compileRule } from './compile-rule.ts';
import { RuleEngine } from './rule-engine.ts';
import { Rule, type Term, termsOf } from './term.ts';

type Policy = Resource<AuthorizationPolicySpec>;

/**
 * Compiles the policies that bind the workload (those that do not are left out): DENY first, then ALLOW, then
 * the mesh's default. Source: Istio, for a sidecar. A decision allocates nothing but what it reads of the request.
 * `ownDomains`: all names of the own trust domain, where it has several.
 */
export function compileAuthorizer(
  policies: readonly Policy[],
  workload: Pick<BoundWorkload, 'namespace' | 'name' | 'labels'>,
  mesh: Mesh,
  defaults: Pick<EffectiveDefaults, 'authorizationDefault'>,
  ownDomains: readonly string[] = [],
): Authorizer {
  const binding = policies.filter(
    ({ namespace, spec }) => isForSidecars(spec) && selects(namespace, spec.selector, workload, mesh.rootNamespace),
  );
  const compiler = new ClauseCompiler();
  const engineOf = (action: Rule['action']) => {
    const chosen = binding.filter(({ spec }) => spec.action === action);
    return new RuleEngine(termsOfPolicies(chosen, action, ownDomains, compiler));
  };
  const allowing = binding.filter(({ spec }) => spec.action === 'ALLOW');
  const unmatched = allowing.length === 0 ? withoutAllowPolicy(workload, defaults) : notAllowed(allowing);
  return new CompiledAuthorizer(engineOf('DENY'), engineOf('ALLOW'), unmatched);
}

class CompiledAuthorizer implements Authorizer {
  readonly #denials: RuleEngine;
  readonly #allowances: RuleEngine;
  /** Where no rule matches. */
  readonly #unmatched: AuthorizationDecision;

  constructor(denials: RuleEngine, allowances: RuleEngine, unmatched: AuthorizationDecision) {
    this.#denials = denials;
    this.#allowances = allowances;
    this.#unmatched = unmatched;
  }

  decide(request: AuthorizationRequest): AuthorizationDecision {
    const rule = this.#denials.first(request) ?? this.#allowances.first(request);
    return rule === undefined ? this.#unmatched : rule.decision;
  }

  explain(decision: AuthorizationDecision, request: AuthorizationRequest): AuthorizationDecision {
    if (decision !== this.#unmatched || decision.kind === 'allow') return decision;
    const miss = this.#allowances.nearestMiss(request);
    if (miss === undefined) return decision;
    const { policy, index } = miss.rule;
    const reason = `${decision.reason}; nearest ${policy} rule ${index}: ${miss.failing}`;
    return { ...decision, policy, rule: index, reason };
  }
}

function termsOfPolicies(
  policies: readonly Policy[],
  action: Rule['action'],
  ownDomains: readonly string[],
  compiler: ClauseCompiler,
): readonly Term[] {
  let order = 0;
  return policies.flatMap(({ namespace, name, spec }) =>
    (spec.rules ?? []).flatMap((given, index) => {
      const compiled = compileRule(given, { namespace, ownDomains }, compiler);
      const clauses = [compiled.from, compiled.to, [compiled.when]].flat(2);
      const rule = new Rule(`${namespace}/${name}`, index, action, clauses.find(({ isHttp }) => isHttp)?.field);
      return termsOf(compiled, order++, rule);
    }),
  );
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

function notAllowed(allowing: readonly Policy[]): AuthorizationDecision {
  const [first] = allowing;
  const count = allowing.length === 1 ? '1 ALLOW policy' : `${allowing.length} ALLOW policies`;
  const facts = { kind: 'deny', code: 'authorization_not_allowed', rule: undefined } as const;
  if (allowing.some(({ spec }) => (spec.rules ?? []).length > 0)) {
    return { ...facts, policy: undefined, reason: `no rule of ${count} matched` };
  }
  const bind = allowing.length === 1 ? 'binds' : 'bind';
  const reason = `${count} ${bind} the workload, without any rule: all is denied`;
  return { ...facts, policy: first === undefined ? undefined : `${first.namespace}/${first.name}`, reason };
}
