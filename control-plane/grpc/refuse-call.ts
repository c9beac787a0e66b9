import { Metadata, status } from '@grpc/grpc-js';
import { type Code, codeEntry } from '#policy/error/codes.ts';
import { CODE_METADATA } from '#proto/code-metadata.ts';

/** How a call is refused: a gRPC status, a sentence that the sidecar's log will show, and where there is one, a code of the catalogue. */
export class CallRefusal extends Error {
  readonly code: status;
  readonly details: string;
  /** Undefined: the catalogue has none for this. */
  readonly refusalCode: Code | undefined;
  /** Sent when the call ends. */
  readonly metadata: Metadata;

  constructor(code: status, details: string, refusalCode?: Code) {
    super(details);
    this.name = 'CallRefusal';
    this.code = code;
    this.details = details;
    this.refusalCode = refusalCode;
    this.metadata = new Metadata();
    if (refusalCode !== undefined) this.metadata.set(CODE_METADATA, refusalCode);
  }
}

/** A refusal by the catalogue alone, which has the gRPC status too. */
export function refusedBy(code: Code, details: string): CallRefusal {
  return new CallRefusal(codeEntry(code).grpcStatus, details, code);
}

/** The refusal that an error amounts to; what nobody foresaw tells the caller nothing (the log has it). */
export function asRefusal(error: unknown, onUnforeseen: (error: unknown) => void, code?: Code): CallRefusal {
  if (error instanceof CallRefusal) return error;
  onUnforeseen(error);
  return new CallRefusal(status.INTERNAL, 'the control plane failed; its log says why', code);
}
