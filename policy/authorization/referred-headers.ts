import type { Condition } from '../condition/compile-condition.ts';
import type { Resource } from '../resource/kind.ts';
import type { AuthorizationPolicySpec } from '../resource/kinds/authorization-policy.ts';
import { parseConditionKey } from '../resource/kinds/condition-key.ts';

/** Lower-case names of the headers that the policies look at, sorted. */
export function referredHeaders(
  policies: readonly Resource<AuthorizationPolicySpec>[],
  conditions: Iterable<Condition> = [],
): readonly string[] {
  const names = new Set<string>();
  for (const { reads } of conditions) for (const name of reads.headers) names.add(name);
  for (const { spec } of policies) {
    for (const { when } of spec.rules ?? []) {
      for (const { key } of when ?? []) {
        const parsed = parseConditionKey(key);
        if (parsed?.kind === 'header') names.add(parsed.lowerName);
      }
    }
  }
  return [...names].sort();
}
