import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { type ConnectionLife, ENDLESS } from '../../identity/connection-life.ts';
import type { ReadTaker } from '../reused-reads.ts';
import type { Http2Exchange } from './client-exchange.ts';
import { NO_ERROR } from './frame.ts';
import type { Http2Error } from './http2-error.ts';
import { Http2Session, type SessionEvents } from './http2-session.ts';
import { Http2Transport } from './http2-transport.ts';
import { processBudget } from './memory-budget.ts';

/** What the pool hears of a connection. */
export interface Http2ClientEvents {
  /** It may be used, for the first time or again after it was full. */
  onRoom(connection: Http2ClientConnection): void;
  /** It takes no further requests; those under way go on. */
  onRetired(connection: Http2ClientConnection): void;
  onLost(connection: Http2ClientConnection, reason: string): void;
}

/** One connection of HTTP/2 to an app or a peer. */
export class Http2ClientConnection implements SessionEvents {
  readonly #events: Http2ClientEvents;
  readonly #session: Http2Session;
  readonly #transport: Http2Transport;
  #isRetired = false;
  /** Monotonic: when its last stream ended. */
  idleSince = performance.now();
  /** When it drains, it takes no further requests. */
  life: ConnectionLife = ENDLESS;

  /** `reads`: what takes the socket's reads (dial.ts); it is directed here. */
  constructor(socket: Socket, events: Http2ClientEvents, reads: ReadTaker) {
    this.#events = events;
    this.#session = new Http2Session(false, socket instanceof TLSSocket ? 'https' : 'http', this, processBudget);
    this.#transport = new Http2Transport(socket, this.#session, (reason) => events.onLost(this, reason), reads);
    this.#transport.schedule();
  }

  /** Requests that it can take now. Nothing is sent before the other side's SETTINGS are known. */
  get room(): number {
    return this.#session.isReady && !this.#isRetired ? this.#session.room : 0;
  }

  get isIdle(): boolean {
    return this.#session.streams.size === 0;
  }

  /** More is waiting to be sent than the network takes. */
  get isCongested(): boolean {
    return this.#session.isCongested;
  }

  begin(exchange: Http2Exchange): void {
    exchange.begin(this.#session);
  }

  /** Takes no further requests, and closes when those under way have ended. */
  retire(): void {
    if (this.#isRetired) return;
    this.#isRetired = true;
    if (this.isIdle) this.#close();
  }

  destroy(reason: string): void {
    this.#transport.destroy(reason);
  }

  // SessionEvents

  onRequest(): void {}

  onTooLarge(): void {}

  onMalformed(): void {}

  onOutput(): void {
    this.#transport?.schedule();
  }

  onMuchOutput(): void {}

  onStreamClosed(): void {
    if (this.isIdle) {
      this.idleSince = performance.now();
      if (this.#isRetired) this.#close();
    }
    this.#events.onRoom(this);
  }

  onReady(): void {
    this.#events.onRoom(this);
  }

  onGoaway(): void {
    this.#events.onRetired(this);
    this.retire();
  }

  onPingAcknowledged(): void {
    this.#transport.pingAcknowledged();
  }

  onFatal(error: Http2Error): void {
    this.#events.onRetired(this);
    this.#transport.close();
    this.#session.abandon(error.message);
  }

  #close(): void {
    this.#session.goaway(NO_ERROR);
    this.#transport.close();
  }
}
