import type { Socket } from 'node:net';
import type { Refusal } from '#policy/error/refusal.ts';
import type { MtlsMode } from '#policy/workload-policy.ts';
import type { Caller, ImmediateResponse, ServerRequest } from '../http/message.ts';
import type { PortProtocol } from './questions.ts';
import type { TcpConnection } from './tcp-connection.ts';

export interface RequestHandlers {
  onRequest(request: ServerRequest): void;
  /** Bytes that are no request: what to answer, if anything. */
  onUnreadable(caller: Caller, refusal: Refusal): ImmediateResponse | undefined;
}

/** How connections are served: all of a listener alike, or each by where it was going. */
export interface Lane extends RequestHandlers {
  /** What is spoken; `tcp` is never looked into, `http` never served as TCP. */
  readonly protocol: PortProtocol;
  /**
   * Asked at each connection. OWN: of the app itself, in plaintext. Of other workloads: STRICT, by mutual TLS; PERMISSIVE, in
   * plaintext as well, whose callers have no certificate; DISABLE, in plaintext alone.
   */
  mode(): MtlsMode | 'OWN';
  /** A connection that is no HTTP (`tcp`, `auto`). Its socket is the handler's to end. */
  onTcp(connection: TcpConnection): void;
  /** A connection of another workload is served in plaintext, which is said before anything else of it. */
  onPlaintext?(address: string): void;
  /** A connection that was closed before it spoke. */
  onRefusedConnection(address: string, refusal: Refusal): void;
}

/** Finds the lane of a connection when it is accepted; undefined: it was refused, and that is recorded. */
export type ChooseLane = (socket: Socket) => Lane | undefined;

/** HTTP in plaintext, for the app itself. */
export function plainHttpLane({ onRequest, onUnreadable }: RequestHandlers): Lane {
  const never = () => {
    throw new Error('a lane of protocol http has neither TCP nor refused connections');
  };
  return { protocol: 'http', mode: () => 'OWN', onRequest, onUnreadable, onTcp: never, onRefusedConnection: never };
}
