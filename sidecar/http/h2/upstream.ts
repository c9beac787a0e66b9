import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { type ConnectionLife, ENDLESS } from '../../identity/connection-life.ts';
import { dial, type PeerTls, type PlaintextWay } from '../dial.ts';
import type { OutgoingRequest, Upstream, UpstreamExchange } from '../message.ts';
import { UpstreamFailure } from '../message.ts';
import { type ReadTaker, takerOf } from '../reused-reads.ts';
import { Http2ClientConnection } from './client-connection.ts';
import { Http2Exchange } from './client-exchange.ts';

/** Connections to one endpoint: further ones are opened only when those there are full. */
export const MAX_HTTP2_CONNECTIONS = 16;
/** A second connection is opened when the first has more to send than the network takes. */
const MAX_CONNECTIONS_FOR_BULK = 2;
/** Requests that wait for a connection to one endpoint; beyond it they fail. */
export const MAX_WAITING_STREAMS = 20_000;
/** A connection without a request is given up after this. */
export const IDLE_CONNECTION_TIMEOUT_MS = 60_000;
/** From the connection to the other side's first SETTINGS. */
export const FIRST_SETTINGS_TIMEOUT_MS = 5_000;
/** A peer that chose HTTP/1.1 is asked for HTTP/2 again after this. */
const FALLBACK_MS = 60_000;
const SWEEP_INTERVAL_MS = 1_000;

export interface Http2UpstreamOptions {
  readonly address: string;
  readonly port: number;
  /** Absent: plaintext with prior knowledge (RFC 9113 §3.3). */
  readonly peer?: PeerTls | undefined;
  readonly plaintext?: PlaintextWay | undefined;
  /** Makes what is used where the peer does not choose `h2` by ALPN. */
  readonly fallback?: () => Upstream;
}

/** HTTP/2 to one endpoint: one connection for all requests, more of them only when that is full or congested. */
export class Http2Upstream implements Upstream {
  readonly #options: Http2UpstreamOptions;
  readonly #connections: Http2ClientConnection[] = [];
  readonly #waiting: Http2Exchange[] = [];
  readonly #timer: NodeJS.Timeout;
  #dialling = 0;
  #isClosed = false;
  #fallback: Upstream | undefined;
  #fallbackUntil = 0;

  constructor(options: Http2UpstreamOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#sweep(performance.now()), SWEEP_INTERVAL_MS);
    this.#timer.unref();
  }

  send(request: OutgoingRequest): UpstreamExchange {
    if (this.#fallback !== undefined && performance.now() < this.#fallbackUntil) return this.#fallback.send(request);
    const exchange = new Http2Exchange(request, (again) => this.#place(again));
    this.#place(exchange);
    return exchange;
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
    for (const connection of [...this.#connections]) connection.retire();
    this.#fallback?.close();
  }

  #place(exchange: Http2Exchange): void {
    const connection = this.#pick();
    if (connection !== undefined) {
      connection.begin(exchange);
      return;
    }
    if (this.#waiting.length >= MAX_WAITING_STREAMS) this.#dropCancelled();
    if (this.#waiting.length >= MAX_WAITING_STREAMS) {
      const limit = `requests waiting exceed maxWaitingStreams ${MAX_WAITING_STREAMS}`;
      exchange.fail(new UpstreamFailure('unreachable', limit, true));
      return;
    }
    this.#waiting.push(exchange);
    if (this.#dialling === 0 && this.#connections.length < MAX_HTTP2_CONNECTIONS) this.#dial();
  }

  /** A connection with room; one that is not congested, if there is any. */
  #pick(): Http2ClientConnection | undefined {
    let congested: Http2ClientConnection | undefined;
    for (const connection of this.#connections) {
      if (connection.room <= 0) continue;
      if (!connection.isCongested) return connection;
      congested ??= connection;
    }
    if (congested !== undefined && this.#dialling === 0 && this.#connections.length < MAX_CONNECTIONS_FOR_BULK)
      this.#dial();
    return congested;
  }

  #dial(): void {
    const { address, port, peer, plaintext, fallback } = this.#options;
    this.#dialling++;
    const reads: ReadTaker = { take: takerOf(() => {}) };
    const protocols = fallback === undefined ? ['h2'] : ['h2', 'http/1.1'];
    dial(
      address,
      port,
      peer,
      (failure, socket, certificate) => {
        if (socket === null) {
          this.#dialling--;
          this.#failWaiting(failure ?? new UpstreamFailure('unreachable', 'no connection', true));
        } else if (socket instanceof TLSSocket && socket.alpnProtocol !== 'h2') this.#fallBack(socket);
        else this.#adopt(socket, reads, certificate?.life ?? ENDLESS);
      },
      plaintext,
      protocols,
      reads,
    );
  }

  #adopt(socket: Socket, reads: ReadTaker, life: ConnectionLife): void {
    let isReady = false;
    const where = `${this.#options.address}:${this.#options.port}`;
    const notReady = `${where}: no SETTINGS within firstSettingsTimeoutMs ${FIRST_SETTINGS_TIMEOUT_MS}`;
    const ready = () => {
      if (isReady) return;
      isReady = true;
      clearTimeout(timer);
      this.#dialling--;
    };
    const connection = new Http2ClientConnection(
      socket,
      {
        onRoom: (free) => {
          ready();
          this.#fill(free);
        },
        onRetired: (retired) => this.#remove(retired),
        onLost: (lost, reason) => {
          this.#remove(lost);
          const wasReady = isReady;
          ready();
          if (!wasReady) this.#failWaiting(new UpstreamFailure('unreachable', `${where}: ${reason}`, true));
          else this.#dialForWaiting();
        },
      },
      reads,
    );
    connection.life = life;
    this.#connections.push(connection);
    const timer = setTimeout(() => connection.destroy(notReady), FIRST_SETTINGS_TIMEOUT_MS);
  }

  /** The peer speaks HTTP/1.1 only: that is what is used for a while. */
  #fallBack(socket: Socket): void {
    this.#dialling--;
    socket.on('error', () => {});
    socket.destroy();
    this.#fallback ??= this.#options.fallback?.();
    const fallback = this.#fallback;
    if (fallback === undefined) {
      this.#failWaiting(new UpstreamFailure('unreachable', 'the peer does not speak HTTP/2', true));
      return;
    }
    this.#fallbackUntil = performance.now() + FALLBACK_MS;
    for (const exchange of this.#waiting.splice(0)) {
      if (!exchange.isCancelled) exchange.delegate(fallback.send(exchange.request));
    }
  }

  #fill(connection: Http2ClientConnection): void {
    while (this.#waiting.length > 0 && connection.room > 0) {
      const next = this.#waiting.shift();
      if (next !== undefined && !next.isCancelled) connection.begin(next);
    }
    if (this.#isClosed) connection.retire();
    else this.#dialForWaiting();
  }

  #dialForWaiting(): void {
    const mayDial = this.#dialling === 0 && this.#connections.length < MAX_HTTP2_CONNECTIONS && !this.#isClosed;
    if (this.#waiting.length === 0 || !mayDial) return;
    this.#dropCancelled();
    if (this.#waiting.length > 0) this.#dial();
  }

  /** Those that were given up wait for nothing any more. */
  #dropCancelled(): void {
    this.#waiting.splice(0, this.#waiting.length, ...this.#waiting.filter(({ isCancelled }) => !isCancelled));
  }

  /** Those that wait meant the connection that could not be made. */
  #failWaiting(failure: UpstreamFailure): void {
    if (this.#connections.some((connection) => connection.room > 0 || !connection.isIdle)) return; // they wait for these
    for (const exchange of this.#waiting.splice(0)) exchange.fail(failure);
  }

  #remove(connection: Http2ClientConnection): void {
    const index = this.#connections.indexOf(connection);
    if (index !== -1) this.#connections.splice(index, 1);
  }

  #sweep(now: number): void {
    const nowMs = Date.now();
    for (const connection of [...this.#connections]) {
      const isOver = nowMs >= connection.life.drainAtMs;
      if (!isOver && (!connection.isIdle || now - connection.idleSince < IDLE_CONNECTION_TIMEOUT_MS)) continue;
      this.#remove(connection);
      connection.retire();
    }
  }
}
