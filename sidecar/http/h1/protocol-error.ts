import type { Code } from '#policy/error/codes.ts';

/**
 * Bytes that are not HTTP/1.1 as RFC 9112 writes it. `ambiguous_framing`: two readers could see the message, or one of
 * its lines, end in two places; that is what request smuggling is made of.
 */
export class ProtocolError extends Error {
  readonly code: Extract<Code, 'malformed_request' | 'ambiguous_framing' | 'header_block_too_large'>;

  constructor(message: string, code: ProtocolError['code'] = 'malformed_request') {
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 0; // a caller's fault, and caused at will
    super(message);
    Error.stackTraceLimit = limit;
    this.name = 'ProtocolError';
    this.code = code;
  }
}

/** Where the reason is that two readers could see two ends. */
export function ambiguous(message: string): ProtocolError {
  return new ProtocolError(message, 'ambiguous_framing');
}
