import type { ApiContent, CompiledDocument } from '../api-model.ts';
import type { BodyFault } from '../body-fault.ts';
import type { DocumentValidators } from '../instantiate-validators.ts';
import { type OperationSettings, runtimeContent } from '../runtime-operation.ts';
import { renewWork } from '../schema/work-budget.ts';
import { judgeBody } from './judge-body.ts';

/** How bodies of one operation and type are judged, as plain data that can be sent to another thread. */
export interface BodyTask {
  /** The units that `content` points into. */
  readonly document: CompiledDocument;
  readonly content: ApiContent;
  readonly settings: OperationSettings;
  readonly boundary: string | undefined;
}

/** Judges a body, not empty, by units instantiated in this very thread. */
export function runBodyTask(
  body: Buffer,
  { content, settings, boundary }: Omit<BodyTask, 'document'>,
  units: DocumentValidators,
): BodyFault | undefined {
  renewWork();
  return judgeBody(body, runtimeContent(content, units), settings, boundary);
}
