import { dial, type PeerTls, type PlaintextWay } from '../dial.ts';
import type { OutgoingRequest, Upstream, UpstreamExchange } from '../message.ts';
import { UpstreamFailure } from '../message.ts';
import { type ReadTaker, takerOf } from '../reused-reads.ts';
import { ClientConnection, type ClientEvents, ClientExchange } from './client-connection.ts';
import { MAX_WAITING_REQUESTS, POOL_WAIT_TIMEOUT_MS, WaitingRequests } from './waiting-requests.ts';

/** Connections to one endpoint; requests beyond wait for a free one. */
export const MAX_CONNECTIONS_PER_ENDPOINT = 1_024;
/** Idle connections to apps are given up before common servers (Node: 5 s) close them; see `#learn` for others. */
export const APP_IDLE_TIMEOUT_MS = 4_000;
/** Idle connections to peers; our own server keeps them for 75 s. */
export const PEER_IDLE_TIMEOUT_MS = 60_000;
/** A connection is given up this long before the server said it would be. */
const KEEP_ALIVE_MARGIN_MS = 1_000;
/** Where the other side closed an idle connection, others are given up at this share of the time it had been idle … */
const LEARNED_SHARE = 0.75;
/** … but not sooner than this … */
export const MIN_IDLE_TIMEOUT_MS = 500;
/** … and for this long: it may have been a restart. */
const LEARNED_FOR_MS = 60_000;
const SWEEP_INTERVAL_MS = 1_000;

/** HTTP/1.1 to one endpoint over kept connections: plaintext to an app, mutual TLS to a peer. */
export class Http1Upstream implements Upstream {
  readonly #address: string;
  readonly #port: number;
  readonly #peer: PeerTls | undefined;
  readonly #plaintext: PlaintextWay | undefined;
  readonly #idleTimeoutMs: number;
  /** The idle timeout that the other side seems to have, until when it is kept to (monotonic ms). */
  #learnedMs = Number.POSITIVE_INFINITY;
  #learnedUntil = 0;
  /** Last in, first out: the connection least likely to be closed meanwhile. */
  readonly #idle: ClientConnection[] = [];
  readonly #open = new Set<ClientConnection>();
  readonly #waiting = new WaitingRequests();
  #dialling = 0;
  #isClosed = false;
  readonly #timer: NodeJS.Timeout;

  constructor(address: string, port: number, peer: PeerTls | undefined, plaintext?: PlaintextWay) {
    this.#plaintext = plaintext;
    this.#address = address;
    this.#port = port;
    this.#peer = peer;
    this.#idleTimeoutMs = peer === undefined ? APP_IDLE_TIMEOUT_MS : PEER_IDLE_TIMEOUT_MS;
    this.#timer = setInterval(() => this.#sweep(performance.now()), SWEEP_INTERVAL_MS);
    this.#timer.unref();
  }

  send(request: OutgoingRequest): UpstreamExchange {
    const exchange = new ClientExchange(request);
    const now = performance.now();
    const free = request.isRepeated === true ? undefined : this.#takeIdle(now);
    if (free !== undefined) free.send(exchange);
    else if (this.#waiting.isFull) {
      exchange.fail(unsent(`${this.#where}: requests waiting exceed maxWaitingRequests ${MAX_WAITING_REQUESTS}`));
    } else {
      this.#waiting.add(exchange, now);
      if (this.#hasRoom) this.#dial();
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
    const reads: ReadTaker = { take: takerOf(() => {}) };
    dial(
      this.#address,
      this.#port,
      this.#peer,
      (failure, socket, certificate) => {
        this.#dialling--;
        if (socket === null) {
          // those that wait meant this connection: one fails for each that could not be made
          this.#waiting.take(false)?.fail(failure ?? unsent(`${this.#where}: no connection`));
          this.#dialForWaiting();
          return;
        }
        const events: ClientEvents = {
          onFree: (freed, keepAliveSeconds) => this.#freed(freed, true, keepAliveSeconds),
          onClosed: (closed) => this.#closed(closed),
        };
        const connection = new ClientConnection(socket, events, reads);
        if (certificate !== undefined) connection.life = certificate.life;
        this.#open.add(connection);
        this.#freed(connection, false, undefined);
      },
      this.#plaintext,
      ['http/1.1'],
      reads,
    );
  }

  #freed(connection: ClientConnection, isKept: boolean, keepAliveSeconds: number | undefined): void {
    if (!connection.isUsable) {
      connection.destroy();
      return;
    }
    const next = this.#waiting.take(isKept);
    if (next !== undefined) {
      connection.send(next);
      return;
    }
    // what waits now can only be for a new connection, for which this one makes room
    if (this.#isClosed || (this.#waiting.size > 0 && !this.#hasRoom)) {
      connection.destroy();
      return;
    }
    const now = performance.now();
    const offeredMs =
      keepAliveSeconds === undefined ? Number.POSITIVE_INFINITY : keepAliveSeconds * 1_000 - KEEP_ALIVE_MARGIN_MS;
    const learnedMs = now < this.#learnedUntil ? this.#learnedMs : Number.POSITIVE_INFINITY;
    connection.idleSince = now;
    connection.idleUntil = now + Math.min(this.#idleTimeoutMs, offeredMs, learnedMs);
    this.#idle.push(connection);
  }

  get #hasRoom(): boolean {
    return this.#open.size + this.#dialling < MAX_CONNECTIONS_PER_ENDPOINT;
  }

  get #where(): string {
    return `${this.#address}:${this.#port}`;
  }

  #dialForWaiting(): void {
    if (this.#waiting.size > this.#dialling && this.#hasRoom) this.#dial();
  }

  #closed(connection: ClientConnection): void {
    this.#open.delete(connection);
    const index = this.#idle.indexOf(connection);
    if (index !== -1) {
      this.#idle.splice(index, 1);
      this.#learn(connection, performance.now());
    }
    this.#dialForWaiting();
  }

  /** The other side closed an idle connection: what is shorter than its patience is less often closed under a request. */
  #learn({ idleSince }: ClientConnection, now: number): void {
    const seenMs = Math.max(MIN_IDLE_TIMEOUT_MS, (now - idleSince) * LEARNED_SHARE);
    this.#learnedMs = now < this.#learnedUntil ? Math.min(this.#learnedMs, seenMs) : seenMs;
    this.#learnedUntil = now + LEARNED_FOR_MS;
  }

  /** Those whose certificates are about to end take no further request. */
  #retire(nowMs: number): void {
    for (const connection of this.#open) if (nowMs >= connection.life.drainAtMs) connection.isRetired = true;
  }

  #sweep(now: number): void {
    this.#retire(Date.now());
    for (const connection of this.#idle.filter(({ idleUntil, isUsable }) => now >= idleUntil || !isUsable)) {
      this.#idle.splice(this.#idle.indexOf(connection), 1);
      connection.destroy();
    }
    if (this.#waiting.size === 0) return;
    const reason = `${this.#where}: no free connection within poolWaitTimeoutMs ${POOL_WAIT_TIMEOUT_MS}`;
    for (const exchange of this.#waiting.takeLate(now)) exchange.fail(unsent(reason));
  }
}

/** Not one byte left: the request may go elsewhere. */
function unsent(reason: string): UpstreamFailure {
  return new UpstreamFailure('unreachable', reason, true);
}
