import { status } from '@grpc/grpc-js';

/** How a call is refused: a gRPC status and a sentence that the sidecar's log will show. */
export class CallRefusal extends Error {
  readonly code: status;
  readonly details: string;

  constructor(code: status, details: string) {
    super(details);
    this.name = 'CallRefusal';
    this.code = code;
    this.details = details;
  }
}

/** The refusal that an error amounts to; what nobody foresaw tells the caller nothing (the log has it). */
export function asRefusal(error: unknown, onUnforeseen: (error: unknown) => void): CallRefusal {
  if (error instanceof CallRefusal) return error;
  onUnforeseen(error);
  return new CallRefusal(status.INTERNAL, 'the control plane failed; its log says why');
}
