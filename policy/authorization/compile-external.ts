import { finish } from '../steps/finish.ts';
import type { Steps } from '../steps/take-in-slices.ts';
import type { BoundWorkload, Mesh, PathNormalization } from '../workload-policy.ts';
import type { OwnDomains } from './all-names-of.ts';
import { Sight } from './attribute.ts';
import { ClauseCompiler } from './clause-compiler.ts';
import { bindingPolicies, type Conditions, type Policy, termsOfPolicies } from './compile-authorizer.ts';
import { ExternalRules, type ProviderRules } from './external-rules.ts';
import type { Provider } from './provider.ts';
import { RuleEngine } from './rule-engine.ts';
import { RuleTallies } from './rule-tallies.ts';

/**
 * Compiles the CUSTOM policies that bind the workload. Undefined: none does. Providers are asked in the order of their names, each once
 * where a rule of any of its policies matches; `tallies`: where these matches are counted. Source: Istio, with several providers for one workload.
 */
export function compileExternal(...given: Parameters<typeof compilingExternal>): ExternalRules | undefined {
  return finish(compilingExternal(...given));
}

/** The same in steps. */
export function* compilingExternal(
  policies: readonly Policy[],
  workload: Pick<BoundWorkload, 'namespace' | 'labels' | 'services'>,
  mesh: Mesh,
  providers: ReadonlyMap<string, Provider>,
  own: OwnDomains,
  conditions: Conditions,
  pathMode: PathNormalization,
  tallies = new RuleTallies(),
): Steps<ExternalRules | undefined> {
  const binding = bindingPolicies(policies, workload, mesh).filter(({ spec }) => spec.action === 'CUSTOM');
  if (binding.length === 0) return undefined;
  const sight = new Sight();
  const compiler = new ClauseCompiler(pathMode);
  const names = [...new Set(binding.map(providerOf))].sort();
  const rules: ProviderRules[] = [];
  for (const name of names) {
    const asking = binding.filter((policy) => providerOf(policy) === name);
    const terms = yield* termsOfPolicies(asking, 'CUSTOM', { own, compiler, conditions, tallies }, 0);
    rules.push({ name, provider: providers.get(name), engine: yield* RuleEngine.of(terms, sight) });
  }
  return new ExternalRules(sight, rules);
}

/** Empty: a policy that was not checked, whose provider nobody knows. */
function providerOf({ spec }: Policy): string {
  return spec.provider?.name ?? '';
}
