import type { Problem } from '../problem.ts';
import { problemAt, type SourcedResource } from './sourced-resource.ts';

/** What the lifecycles of APISchemas make doubtful at a time (milliseconds since 1970): warnings. */
export function lifecycleProblems(all: readonly SourcedResource[], nowMs: number): readonly Problem[] {
  const retired = new Set(
    all.flatMap(({ any }) =>
      any.type === 'APISchema' && any.resource.spec.lifecycle?.state === 'Retired'
        ? [`${any.resource.namespace}/${any.resource.name}`]
        : [],
    ),
  );
  return all.flatMap((sourced) => {
    const { any } = sourced;
    if (any.type === 'APISchema') return passedSunset(sourced, any.resource.spec.lifecycle, nowMs);
    if (any.type !== 'APIValidationPolicy') return [];
    const { namespace, spec } = any.resource;
    return spec.schemaRefs.flatMap((name, index) => {
      if (!retired.has(`${namespace}/${name}`)) return [];
      const message = `APISchema ${namespace}/${name} is Retired: requests for its operations are refused`;
      return [problemAt(sourced, ['spec', 'schemaRefs', index], 'warning', 'retired_schema', message)];
    });
  });
}

function passedSunset(
  sourced: SourcedResource,
  lifecycle: { readonly state: string; readonly sunset: string | undefined } | undefined,
  nowMs: number,
): readonly Problem[] {
  const { state, sunset } = lifecycle ?? {};
  if (sunset === undefined || state === 'Retired' || Date.parse(sunset) > nowMs) return [];
  const message = `the sunset ${sunset} has passed, and the API is ${state}; make it Retired, or move the date`;
  return [problemAt(sourced, ['spec', 'lifecycle', 'sunset'], 'warning', 'sunset_passed', message)];
}
