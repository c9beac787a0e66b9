import type { Socket } from 'node:net';
import type { Caller } from '../http/message.ts';

/** A connection that is no HTTP, as a listener hands it over: its socket is paused, and of whom gets it. */
export interface TcpConnection {
  readonly socket: Socket;
  readonly caller: Caller;
  /** What was read of it to learn what it speaks. */
  readonly firstBytes: Buffer;
  /**
   * Present where the caller had not said enough in time: judges its first bytes. True: it speaks something else after
   * all, on which nobody has decided; undefined: not known yet.
   */
  readonly isOtherProtocol: ((bytes: Buffer) => boolean | undefined) | undefined;
}
