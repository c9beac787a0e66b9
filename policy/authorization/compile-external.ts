import type { BoundWorkload, Mesh } from '../workload-policy.ts';
import type { OwnDomains } from './all-names-of.ts';
import { Sight } from './attribute.ts';
import { ClauseCompiler } from './clause-compiler.ts';
import { bindingPolicies, type Conditions, type Policy, termsOfPolicies } from './compile-authorizer.ts';
import { ExternalRules } from './external-rules.ts';
import type { Provider } from './provider.ts';
import { RuleEngine } from './rule-engine.ts';
import { RuleTallies } from './rule-tallies.ts';

/**
 * Compiles the CUSTOM policies that bind the workload. Undefined: none does. Providers are asked in the order of their names, each once
 * where a rule of any of its policies matches; `tallies`: where these matches are counted. Source: Istio, with several providers for one workload.
 */
export function compileExternal(
  policies: readonly Policy[],
  workload: Pick<BoundWorkload, 'namespace' | 'labels' | 'services'>,
  mesh: Mesh,
  providers: ReadonlyMap<string, Provider>,
  own: OwnDomains,
  conditions: Conditions,
  tallies = new RuleTallies(),
): ExternalRules | undefined {
  const binding = bindingPolicies(policies, workload, mesh).filter(({ spec }) => spec.action === 'CUSTOM');
  if (binding.length === 0) return undefined;
  const sight = new Sight();
  const compiler = new ClauseCompiler();
  const names = [...new Set(binding.map(providerOf))].sort();
  const rules = names.map((name) => {
    const asking = binding.filter((policy) => providerOf(policy) === name);
    const terms = termsOfPolicies(asking, 'CUSTOM', { own, compiler, conditions, tallies }, 0);
    return { name, provider: providers.get(name), engine: new RuleEngine(terms, sight) };
  });
  return new ExternalRules(sight, rules);
}

/** Empty: a policy that was not checked, whose provider nobody knows. */
function providerOf({ spec }: Policy): string {
  return spec.provider?.name ?? '';
}
