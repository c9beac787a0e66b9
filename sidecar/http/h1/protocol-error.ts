import type { Code } from '#policy/error/codes.ts';

/** Bytes that are not HTTP/1.1 as RFC 9112 writes it, or that two readers could read in two ways. */
export class ProtocolError extends Error {
  readonly code: Extract<Code, 'malformed_request' | 'header_block_too_large'>;

  constructor(message: string, code: ProtocolError['code'] = 'malformed_request') {
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 0; // a caller's fault, and caused at will
    super(message);
    Error.stackTraceLimit = limit;
    this.name = 'ProtocolError';
    this.code = code;
  }
}
