import { headerValue } from '#policy/http/flat-headers.ts';
import type { SpiffeId } from '#policy/identity/spiffe-id.ts';
import type { WorkloadPolicy } from '#policy/workload-policy.ts';
import type { OutgoingRequest, ServerRequest } from '../http/message.ts';
import type { TraceContext } from '../telemetry/trace-context.ts';
import { grpcTimeoutMs } from './grpc-timeout.ts';
import { type Direction, Passage } from './passage.ts';

/**
 * One request and its response on their way through the sidecar. Each stage adds one fact and returns
 * the exchange under a narrower type, so that the types enforce the order of the stages.
 */
export class Exchange extends Passage {
  readonly server: ServerRequest;
  readonly trace: TraceContext;

  // accept
  host: string | undefined = undefined;
  path: string | undefined = undefined;
  query = '';
  /** End-to-end fields, without those of this hop and those no caller may set: what every later stage sees. */
  headers: string[] = [];
  /** Path template of the operation, where a schema knows it. */
  route: string | undefined = undefined;

  // progress
  status = 0;
  /** True once the response head has left: from then on a fault can only end the connection. */
  isAnswered = false;
  /** When the client span began and ended, monotonic; 0: there was none. */
  sentAt = 0;
  answeredAt = 0;

  constructor(direction: Direction, server: ServerRequest, policy: WorkloadPolicy, trace: TraceContext) {
    super(direction, policy);
    this.server = server;
    this.trace = trace;
    if (headerValue(server.head.headers, 'content-type')?.startsWith('application/grpc') !== true) return;
    this.isGrpc = true;
    this.mayRest = server.head.version === '2';
    this.deadlineAt = this.startedAt + grpcTimeoutMs(server.head.headers);
  }
}

/** Host, path and query are read, and can be read in one way only. */
export type Accepted = Exchange & { readonly host: string; readonly path: string };
/** The caller's identity is proven; null: it has none. */
export type Identified = Accepted & { readonly source: SpiffeId | null };
/** It is known where the request goes. */
export type Routed = Identified & { readonly destination: string };
/** The caller may make this request. */
export type Permitted = Routed & { readonly permitted: true };
/** The request is what its API description says; `body` is what is left to send. */
export type Validated = Permitted & Sendable;
/** Everything was looked at that is to be looked at; what is left of the body is known. */
export type Sendable = Accepted & { readonly outgoingBody: OutgoingRequest['body'] };
