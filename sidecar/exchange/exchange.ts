import { type FlatHeaders, headerValue } from '#policy/http/flat-headers.ts';
import type { SpiffeId } from '#policy/identity/spiffe-id.ts';
import type { RequestClaims, ResponseValidation, Service, WorkloadPolicy } from '#policy/workload-policy.ts';
import type { HeaderChange } from '../authorization/header-changes.ts';
import type { IncomingBody, OutgoingRequest, ServerRequest } from '../http/message.ts';
import type { TraceContext } from '../telemetry/trace-context.ts';
import { grpcTimeoutMs } from './grpc-timeout.ts';
import { type Direction, Passage } from './passage.ts';

const NO_HEADERS: FlatHeaders = [];
const NO_CHANGES: readonly HeaderChange[] = [];

/** Where a call of the app goes: a service of the mesh, or (AllowAny) the host as it is written. */
export type Destination =
  | { readonly kind: 'service'; readonly service: Service }
  | { readonly kind: 'external'; readonly address: string; readonly port: number };

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
  headers: FlatHeaders = NO_HEADERS;
  // authenticate
  isAuthenticated = false;
  /** What the request's token says; undefined: it has none. */
  claims: RequestClaims | undefined = undefined;
  // consult
  isConsulted = false;
  /** The request's body as far as it was read; undefined: nothing was. */
  heldBody: Buffer | IncomingBody | undefined = undefined;
  /** Headers that providers add to the response. */
  toCaller: readonly HeaderChange[] = NO_CHANGES;
  // authorize
  permitted = false;
  // resolve
  target: Destination | undefined = undefined;
  // validate, resolve: the body that is left to send; null: none; undefined: not known yet
  outgoingBody: OutgoingRequest['body'] | undefined = undefined;
  /** Path template of the operation, where a schema knows it. */
  route: string | undefined = undefined;
  /** The operation is to be left for another. */
  isDeprecated = false;
  /** What its responses must satisfy; undefined: they pass as they come. */
  responses: ResponseValidation | undefined = undefined;

  // progress
  status = 0;
  /** True once the response head has left: from then on a fault can only end the connection. */
  isAnswered = false;
  /** A gRPC call that was refused after that, and ended with a status all the same. */
  isEndedByStatus = false;
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
/** Its token, if it has any, is good, and goes no further than it may. */
export type Authenticated = Routed & { readonly isAuthenticated: true };
/** Whoever is to be asked before the policies are has allowed it. */
export type Consulted = Authenticated & { readonly isConsulted: true };
/** The caller may make this request. */
export type Permitted = Consulted & { readonly permitted: true };
/** The request is what its API description says; `body` is what is left to send. */
export type Validated = Permitted & Sendable;
/** Everything was looked at that is to be looked at; what is left of the body is known. */
export type Sendable = Accepted & { readonly outgoingBody: OutgoingRequest['body'] };
/** It is known which service, or which host beyond the mesh, the app's request is for. */
export type Resolved = Sendable & { readonly target: Destination };

export function isAccepted(exchange: Exchange): exchange is Accepted {
  return exchange.host !== undefined && exchange.path !== undefined;
}

export function isIdentified(exchange: Accepted): exchange is Identified {
  return exchange.source !== undefined;
}

export function isRouted(exchange: Identified): exchange is Routed {
  return exchange.destination !== undefined;
}

export function isAuthenticated(exchange: Routed): exchange is Authenticated {
  return exchange.isAuthenticated;
}

export function isConsulted(exchange: Authenticated): exchange is Consulted {
  return exchange.isConsulted;
}

export function isPermitted(exchange: Consulted): exchange is Permitted {
  return exchange.permitted;
}

export function isValidated(exchange: Permitted): exchange is Validated {
  return exchange.outgoingBody !== undefined;
}

export function isResolved(exchange: Accepted): exchange is Resolved {
  return exchange.target !== undefined && exchange.outgoingBody !== undefined;
}

/** The exchange under the narrower type that its stage has earned. Throws when the stage left its fact out. */
export function narrowed<W, N extends W>(exchange: W, isSo: (exchange: W) => exchange is N): N {
  if (!isSo(exchange)) throw new Error(`${isSo.name} does not hold`);
  return exchange;
}
