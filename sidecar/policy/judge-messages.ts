import type { ApiContent, Unit } from '#policy/validation/api-model.ts';
import type { BodyFault } from '#policy/validation/body-fault.ts';
import type { OperationSettings } from '#policy/validation/runtime-operation.ts';

/** What the judging thread is sent, in order. */
export type ToJudge =
  /** The next units of a document. */
  | { readonly kind: 'units'; readonly document: number; readonly units: readonly Unit[] }
  | {
      readonly kind: 'judge';
      readonly id: number;
      readonly document: number;
      readonly body: SharedArrayBuffer;
      readonly content: ApiContent;
      readonly settings: OperationSettings;
      readonly boundary: string | undefined;
      /** Nobody waits for the verdict then: ms since the epoch. */
      readonly until: number;
    };

/** What it says of a body; `error`: it could not judge. */
export interface Verdict {
  readonly id: number;
  readonly fault: BodyFault | undefined;
  readonly error: string | undefined;
}

/** Both sides are of one program: the kind tells the rest. */
export function isToJudge(message: unknown): message is ToJudge {
  return typeof message === 'object' && message !== null && 'kind' in message;
}

export function isVerdict(message: unknown): message is Verdict {
  return typeof message === 'object' && message !== null && 'id' in message && 'fault' in message;
}
