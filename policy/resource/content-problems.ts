import type { Problem } from '../problem.ts';
import type { SourcedResource } from './sourced-resource.ts';

/**
 * What is wrong within the conditions and API descriptions of the resources, and with what policies say about operations; what judges them is loaded where
 * there are any.
 */
export async function contentProblems(all: readonly SourcedResource[]): Promise<readonly Problem[]> {
  const problems: Problem[] = [];
  if (all.some(({ any }) => any.type === 'APISchema')) {
    const { checkApiSchemas } = await import('./check-api-schemas.ts');
    const { checkValidationPolicies } = await import('./check-validation-policies.ts');
    problems.push(...checkApiSchemas(all), ...checkValidationPolicies(all));
  }
  if (all.some(hasCondition)) {
    const { checkConditions } = await import('./check-conditions.ts');
    problems.push(...checkConditions(all));
  }
  return problems;
}

function hasCondition({ any }: SourcedResource): boolean {
  if (any.type !== 'AuthorizationPolicy') return false;
  return (any.resource.spec.rules ?? []).some(({ condition }) => condition !== undefined);
}
