/** What is said of one code of the catalogue (codes.ts). */
export interface CodeEntry {
  readonly family: 'malformed' | 'refused' | 'limited' | 'unavailable' | 'fault' | 'connection' | 'joining';
  /** 0: no HTTP answer tells it: the connection is closed, or (`joining`) the gRPC call is refused. */
  readonly status: number;
  readonly grpcStatus: number;
  readonly title: string;
  readonly meaning: string;
  readonly remedy: string;
}

export const GRPC = {
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  permissionDenied: 7,
  resourceExhausted: 8,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const;
