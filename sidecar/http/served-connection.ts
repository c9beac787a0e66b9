import type { Socket } from 'node:net';
import type { Refusal } from '#policy/error/refusal.ts';
import type { Caller, ImmediateResponse, ServerRequest } from './message.ts';

/** What a serving connection, of whichever HTTP version, tells of. */
export interface ConnectionHandlers {
  onRequest(request: ServerRequest): void;
  /** Bytes that are no request: what to answer, if anything. */
  onUnreadable(caller: Caller, refusal: Refusal): ImmediateResponse | undefined;
  /** The socket has closed; called once. */
  onClosed(connection: ServedConnection): void;
}

/** One caller's connection, as its listener sees it. */
export interface ServedConnection {
  readonly socket: Socket;
  /**
   * What the connection waits for, since when (monotonic ms). `write`: for its caller to take answers that are complete;
   * since the last byte that was taken.
   */
  readonly state: { readonly kind: 'idle' | 'head' | 'busy' | 'write'; readonly since: number };
  /** Ends when idle, else after what is under way (HTTP/2: GOAWAY). */
  drain(): void;
  /** Answers what is no request (or too slow), and ends. */
  refuse(refusal: Refusal): void;
}
