import { isRecord } from '#policy/schema/schema.ts';
import type { JudgedResource } from '../resources/mesh-resources.ts';
import { CONDITION_TYPES } from './conditions.ts';
import { mergeConditions } from './merge-conditions.ts';
import { routeStatus } from './route-status.ts';
import type { Findings, StatusFields, StatusForm } from './status-form.ts';

/** Longest spec that is left in the status of a broken object; of longer ones a control plane that starts knows nothing. */
export const MAX_KEPT_SPEC_LENGTH = 64 * 1024;
/** In a status that others write too, our conditions are told from theirs by this. */
const CONDITION_PREFIX = 'lateral.dev/';

/** By group. */
export const STATUS_FORMS: { readonly [group: string]: StatusForm } = {
  'lateral.dev': ownStatus,
  'security.istio.io': istioStatus,
  'gateway.networking.k8s.io': routeStatus,
};

function ownStatus({ judged, conditions, workloads }: Findings, standing: StatusFields, nowIso: string): StatusFields {
  return {
    observedGeneration: judged.object.metadata.generation,
    workloads: workloads ?? null,
    lastGoodSpec: lastGoodSpecOf(judged) ?? null,
    conditions: mergeConditions(standing.conditions, conditions, CONDITION_TYPES, nowIso),
  };
}

/** IstioStatus: conditions alone are for everybody to add to. */
function istioStatus({ conditions }: Findings, standing: StatusFields, nowIso: string): StatusFields {
  const ours = conditions.map((condition) => ({ ...condition, type: `${CONDITION_PREFIX}${condition.type}` }));
  const types = CONDITION_TYPES.map((type) => `${CONDITION_PREFIX}${type}`);
  return { conditions: mergeConditions(standing.conditions, ours, types, nowIso) };
}

/** What is left in the status of an object whose last good form is in force. */
function lastGoodSpecOf({ problems = [], good }: JudgedResource): string | undefined {
  if (good === undefined || !problems.some(({ severity }) => severity === 'error')) return undefined;
  const { value } = good.document;
  const text = JSON.stringify(isRecord(value) ? (value.spec ?? {}) : {});
  return text.length > MAX_KEPT_SPEC_LENGTH ? undefined : text;
}
