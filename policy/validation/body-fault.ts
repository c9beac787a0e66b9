import type { Code } from '../error/codes.ts';
import type { RefusalDetail } from '../error/refusal.ts';

/** What is wrong with a body. */
export interface BodyFault {
  readonly code: Extract<Code, 'malformed_body' | 'invalid_body' | 'unknown_property'>;
  readonly details: readonly RefusalDetail[];
  /** The body passes all the same, and is told of. */
  readonly isReport?: boolean;
}
