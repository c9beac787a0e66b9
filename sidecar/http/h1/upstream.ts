import { dial, type IsOwnListener, type PeerTls } from '../dial.ts';
import type { OutgoingRequest, Upstream, UpstreamExchange } from '../message.ts';
import { UpstreamFailure } from '../message.ts';
import { ClientConnection, ClientExchange } from './client-connection.ts';

/** Connections to one endpoint; requests beyond wait for a free one. */
export const MAX_CONNECTIONS_PER_ENDPOINT = 1_024;
/** Requests that wait for a connection to one endpoint; beyond it they fail. */
export const MAX_WAITING_REQUESTS = 10_000;
/** Idle connections to apps are given up before common servers (Node: 5 s) close them. */
export const APP_IDLE_TIMEOUT_MS = 4_000;
/** Idle connections to peers; our own server keeps them for 75 s. */
export const PEER_IDLE_TIMEOUT_MS = 60_000;
/** A connection is given up this long before the server said it would be. */
const KEEP_ALIVE_MARGIN_MS = 1_000;
const SWEEP_INTERVAL_MS = 1_000;

/** HTTP/1.1 to one endpoint over kept connections: plaintext to an app, mutual TLS to a peer. */
export class Http1Upstream implements Upstream {
  readonly #address: string;
  readonly #port: number;
  readonly #peer: PeerTls | undefined;
  readonly #isOwnListener: IsOwnListener | undefined;
  readonly #idleTimeoutMs: number;
  /** Last in, first out: the connection least likely to be closed meanwhile. */
  readonly #idle: ClientConnection[] = [];
  readonly #open = new Set<ClientConnection>();
  readonly #waiting: ClientExchange[] = [];
  #dialling = 0;
  #isClosed = false;
  readonly #timer: NodeJS.Timeout;

  constructor(address: string, port: number, peer: PeerTls | undefined, isOwnListener?: IsOwnListener) {
    this.#isOwnListener = isOwnListener;
    this.#address = address;
    this.#port = port;
    this.#peer = peer;
    this.#idleTimeoutMs = peer === undefined ? APP_IDLE_TIMEOUT_MS : PEER_IDLE_TIMEOUT_MS;
    this.#timer = setInterval(() => this.#sweep(performance.now()), SWEEP_INTERVAL_MS);
    this.#timer.unref();
  }

  send(request: OutgoingRequest): UpstreamExchange {
    const exchange = new ClientExchange(request);
    const free = this.#takeIdle(performance.now());
    if (free !== undefined) free.send(exchange);
    else if (this.#waiting.length >= MAX_WAITING_REQUESTS) {
      exchange.fail(
        new UpstreamFailure('unreachable', `requests waiting exceed maxWaitingRequests ${MAX_WAITING_REQUESTS}`, true),
      );
    } else {
      this.#waiting.push(exchange);
      if (this.#open.size + this.#dialling < MAX_CONNECTIONS_PER_ENDPOINT) this.#dial();
    }
    return exchange;
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
    for (const connection of this.#idle.splice(0)) connection.destroy();
  }

  #takeIdle(now: number): ClientConnection | undefined {
    for (;;) {
      const connection = this.#idle.pop();
      if (connection === undefined) return undefined;
      if (connection.isUsable && now < connection.idleUntil) return connection;
      connection.destroy();
    }
  }

  #dial(): void {
    this.#dialling++;
    dial(
      this.#address,
      this.#port,
      this.#peer,
      (failure, socket) => {
        this.#dialling--;
        if (socket === null) {
          // those that wait meant this connection: one fails for each that could not be made
          this.#takeWaiting()?.fail(failure ?? new UpstreamFailure('unreachable', 'no connection', true));
          this.#dialForWaiting();
          return;
        }
        const connection = new ClientConnection(socket, {
          onFree: (freed, keepAliveSeconds) => this.#freed(freed, keepAliveSeconds),
          onClosed: (closed) => this.#closed(closed),
        });
        this.#open.add(connection);
        this.#freed(connection, undefined);
      },
      this.#isOwnListener,
    );
  }

  #freed(connection: ClientConnection, keepAliveSeconds: number | undefined): void {
    const next = this.#takeWaiting();
    if (next !== undefined) {
      connection.send(next);
      return;
    }
    if (this.#isClosed) {
      connection.destroy();
      return;
    }
    const offeredMs =
      keepAliveSeconds === undefined ? Number.POSITIVE_INFINITY : keepAliveSeconds * 1_000 - KEEP_ALIVE_MARGIN_MS;
    connection.idleUntil = performance.now() + Math.min(this.#idleTimeoutMs, offeredMs);
    this.#idle.push(connection);
  }

  /** The next request that still wants a connection. */
  #takeWaiting(): ClientExchange | undefined {
    let next = this.#waiting.shift();
    while (next?.isCancelled === true) next = this.#waiting.shift();
    return next;
  }

  #dialForWaiting(): void {
    const hasRoom = this.#open.size + this.#dialling < MAX_CONNECTIONS_PER_ENDPOINT;
    if (this.#waiting.length > this.#dialling && hasRoom) this.#dial();
  }

  #closed(connection: ClientConnection): void {
    this.#open.delete(connection);
    const index = this.#idle.indexOf(connection);
    if (index !== -1) this.#idle.splice(index, 1);
    this.#dialForWaiting();
  }

  #sweep(now: number): void {
    for (const connection of [...this.#idle]) {
      if (now >= connection.idleUntil || !connection.isUsable) connection.destroy();
    }
  }
}
