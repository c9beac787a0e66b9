import type { Problem } from '../problem.ts';
import type { SourcedResource } from './sourced-resource.ts';

/** What is wrong with the conditions of the resources; what judges them is loaded where there is any. */
export async function conditionProblems(all: readonly SourcedResource[]): Promise<readonly Problem[]> {
  const hasAny = all.some(
    ({ any }) =>
      any.type === 'AuthorizationPolicy' &&
      (any.resource.spec.rules ?? []).some(({ condition }) => condition !== undefined),
  );
  if (!hasAny) return [];
  const { checkConditions } = await import('./check-conditions.ts');
  return checkConditions(all);
}
