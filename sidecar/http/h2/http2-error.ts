import { errorName } from './frame.ts';

/** The connection cannot go on: it ends with GOAWAY and this code (RFC 9113 §5.4.1). */
export class Http2Error extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 0; // a peer's fault, and caused at will
    super(`${errorName(code)}: ${message}`);
    Error.stackTraceLimit = limit;
    this.name = 'Http2Error';
    this.code = code;
  }
}
