import { isDeepStrictEqual } from 'node:util';
import { isRecord } from '#policy/schema/schema.ts';
import { recordsOf } from '../api-object.ts';
import type { Condition } from './conditions.ts';
import { mergeConditions } from './merge-conditions.ts';
import type { StatusFields, StatusForm } from './status-form.ts';

/** Which entries of a route's status are ours. Source: Gateway API, RouteParentStatus. */
export const CONTROLLER_NAME = 'lateral.dev/mesh';
/** Most entries that a route's status may have. Source: Gateway API, RouteStatus. */
const MAX_PARENTS = 32;
const CONDITION_TYPES = ['Accepted', 'ResolvedRefs'];

/**
 * One entry for each parentRef that is a Service, since such a route is the mesh's. A Gateway has a controller of its own, whose
 * entries, as those of other meshes, stay as they are.
 */
export const routeStatus: StatusForm = ({ judged, conditions }, standing, nowIso) => {
  const { spec } = judged.object.document;
  const missing = recordsOf(isRecord(spec) ? spec.parentRefs : undefined).filter(isService);
  const before: readonly unknown[] = Array.isArray(standing.parents) ? standing.parents : [];
  const wanted = routeConditions(conditions);
  const entryOf = (parentRef: StatusFields, entry: StatusFields = {}) => ({
    parentRef,
    controllerName: CONTROLLER_NAME,
    conditions: mergeConditions(entry.conditions, wanted, CONDITION_TYPES, nowIso),
  });
  const inPlace = before.flatMap((entry) => {
    if (!isOurs(entry)) return [entry];
    const index = missing.findIndex((parentRef) => isDeepStrictEqual(parentRef, entry.parentRef));
    return missing.splice(index, index < 0 ? 0 : 1).map((parentRef) => entryOf(parentRef, entry));
  });
  const parents = [...inPlace, ...missing.map((parentRef) => entryOf(parentRef))];
  if (parents.length === 0 && before.length === 0) return undefined;
  // Entries of others come first where there are too many: what is full is not ours to clear.
  const room = MAX_PARENTS - parents.filter((entry) => !isOurs(entry)).length;
  let ours = 0;
  return { parents: parents.filter((entry) => !isOurs(entry) || ++ours <= room) };
};

function routeConditions(conditions: readonly Condition[]): readonly Condition[] {
  return conditions.flatMap((condition) =>
    condition.type === 'Accepted'
      ? [
          condition,
          {
            type: 'ResolvedRefs',
            status: 'Unknown',
            reason: 'NotSupported',
            message: 'References of routes are not looked up in this version.',
            observedGeneration: condition.observedGeneration,
          },
        ]
      : [],
  );
}

/** The group of a Service is empty, and has to be said: without it a parent is one of the Gateway API's. */
function isService({ group, kind }: StatusFields): boolean {
  return group === '' && kind === 'Service';
}

function isOurs(entry: unknown): entry is StatusFields {
  return isRecord(entry) && entry.controllerName === CONTROLLER_NAME;
}
