import type { FlatHeaders } from '../http/flat-headers.ts';
import type { Code } from './codes.ts';

/** Where in a request a validation problem was found. */
export interface RefusalDetail {
  readonly in: 'body' | 'query' | 'path' | 'header' | 'cookie' | 'response';
  /** JSON Pointer (RFC 6901) to the value; for parameters `/NAME`. */
  readonly pointer: string;
  /** The schema keyword that failed, e.g. `type`, `required`. */
  readonly keyword: string;
  readonly message: string;
  /** What the value is like, never the value: `string(70) digits`. For operators. */
  readonly shape?: string | undefined;
}

export interface RefusalFacts {
  /** NAMESPACE/NAME of the deciding policy. */
  readonly policy?: string | undefined;
  /** Index of the deciding rule. */
  readonly rule?: number | undefined;
  readonly details?: readonly RefusalDetail[] | undefined;
  /** True: the caller may be told the details. */
  readonly tellsDetails?: boolean | undefined;
  /** Value of the Allow header of a 405. */
  readonly allow?: string | undefined;
  /** The limit that 413, 429 and 431 tell the caller. */
  readonly limit?: string | undefined;
  /** HTTP status in place of the code's own. */
  readonly status?: number | undefined;
  /** What the caller is told in place of the code: the word of a provider that was asked. */
  readonly answer?: { readonly status: number; readonly headers: FlatHeaders; readonly body: Buffer } | undefined;
}

/**
 * The one error by which a stage refuses. `reason` is for the operator alone: log, span and decision
 * record get it; the caller gets the code.
 */
export class Refusal extends Error {
  readonly code: Code;
  readonly reason: string;
  readonly facts: RefusalFacts;

  /** `options.cause`: the failure below, for stages that decide by it. */
  constructor(code: Code, reason: string, facts: RefusalFacts = {}, options: ErrorOptions = {}) {
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 0; // a refusal is an answer, not a fault: an attacker shall not buy stack traces with it
    super(`${code}: ${reason}`, options);
    Error.stackTraceLimit = limit;
    this.name = 'Refusal';
    this.code = code;
    this.reason = reason;
    this.facts = facts;
  }
}
