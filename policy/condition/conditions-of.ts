import type { Resource } from '../resource/kind.ts';
import type { AuthorizationPolicySpec } from '../resource/kinds/authorization-policy.ts';
import type { Condition } from './compile-condition.ts';

/**
 * The conditions of the policies by their texts, compiled. What compiles them is loaded where there are any. Rejects for one that
 * cannot be right: it was let through by nobody who looked.
 */
export async function conditionsOf(
  policies: readonly Resource<AuthorizationPolicySpec>[],
): Promise<ReadonlyMap<string, Condition>> {
  const texts = new Set(policies.flatMap(({ spec }) => (spec.rules ?? []).flatMap(({ condition }) => condition ?? [])));
  if (texts.size === 0) return new Map();
  const { compileConditions } = await import('./compile-condition.ts');
  return compileConditions(texts);
}
