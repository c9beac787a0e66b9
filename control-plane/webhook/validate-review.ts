import { formatProblem, type Problem } from '#policy/problem.ts';
import type { JsonObject } from '../injection/json-object.ts';
import type { AdmissionAnswer, AdmissionRequest } from './admission-review.ts';
import type { WebhookMetrics } from './webhook-metrics.ts';

/** What is wrong and what is doubtful about one object. */
export interface Judgement {
  readonly errors: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/** `address`: who asks. */
export type JudgeObject = (object: JsonObject, address: string) => Judgement | Promise<Judgement>;

/**
 * POST /validate: what could not be put in force is refused when it is written, with the messages of `lateral check`. An object
 * that is being deleted passes whatever is in it: its finalizers must be able to go.
 */
export async function reviewResource(
  request: AdmissionRequest,
  judge: JudgeObject,
  metrics: WebhookMetrics,
  address: string,
): Promise<AdmissionAnswer> {
  const { object, operation, subResource } = request;
  const isWritten = operation === 'CREATE' || operation === 'UPDATE';
  if (object === undefined || !isWritten || subResource !== '' || isBeingDeleted(object)) {
    metrics.validations.allowed += 1;
    return { isAllowed: true };
  }
  const judgement = await judge(object, address);
  const errors = judgement.errors.map(formatProblem);
  const warnings = judgement.warnings.map(formatProblem);
  if (errors.length === 0) {
    metrics.validations.allowed += 1;
    return { isAllowed: true, warnings };
  }
  metrics.validations.refused += 1;
  return { isAllowed: false, code: 422, message: errors.join('\n'), warnings };
}

function isBeingDeleted(object: JsonObject): boolean {
  const metadata = object['metadata'];
  return typeof metadata === 'object' && metadata !== null && 'deletionTimestamp' in metadata;
}
