import { compileCondition } from '../condition/compile-condition.ts';
import type { Problem } from '../problem.ts';
import { problemAt, type SourcedResource } from './sourced-resource.ts';

/** What is wrong with the conditions of AuthorizationPolicies, each at its place. */
export function checkConditions(all: readonly SourcedResource[]): readonly Problem[] {
  return all.flatMap((sourced) => {
    if (sourced.any.type !== 'AuthorizationPolicy') return [];
    return (sourced.any.resource.spec.rules ?? []).flatMap(({ condition }, index) => {
      const result = condition === undefined ? undefined : compileCondition(condition);
      if (result?.kind !== 'invalid') return [];
      const message = `spec.rules[${index}].condition: character ${result.offset + 1}: ${result.message}`;
      return [problemAt(sourced, ['spec', 'rules', index, 'condition'], 'error', 'invalid_condition', message)];
    });
  });
}
