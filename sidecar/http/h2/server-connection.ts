import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { Refusal } from '#policy/error/refusal.ts';
import type { Caller, ImmediateResponse } from '../message.ts';
import { type ReadTaker, reuseReadsOf, takerOf } from '../reused-reads.ts';
import type { ConnectionHandlers, ServedConnection } from '../served-connection.ts';
import { ENHANCE_YOUR_CALM, NO_ERROR } from './frame.ts';
import type { Http2Error } from './http2-error.ts';
import { Http2Session, type SessionEvents } from './http2-session.ts';
import type { Http2Stream, StreamOwner } from './http2-stream.ts';
import { FLUSH_TIMEOUT_MS, Http2Transport } from './http2-transport.ts';
import { processBudget } from './memory-budget.ts';
import { readRequest } from './request-fields.ts';
import { Http2Request } from './server-request.ts';

/** Between the first GOAWAY of a drain and the second: until the caller has seen the first, at most this. */
const GOAWAY_GRACE_MS = 1_000;

/** One caller's connection of HTTP/2: many requests at once. */
export class Http2ServerConnection implements ServedConnection, SessionEvents {
  readonly socket: Socket;
  readonly #caller: Caller;
  readonly #handlers: ConnectionHandlers;
  readonly #session: Http2Session;
  readonly #transport: Http2Transport;
  #isDraining = false;
  #isClosing = false;
  readonly #openedAt = performance.now();
  /** Monotonic: when the last stream ended. */
  #idleSince = this.#openedAt;

  /** `initialBytes`: what was read to find out what the caller speaks. */
  constructor(socket: Socket, caller: Caller, handlers: ConnectionHandlers, initialBytes?: Buffer) {
    this.socket = socket;
    this.#caller = caller;
    this.#handlers = handlers;
    const isTls = socket instanceof TLSSocket;
    // what was read early waits here for the session
    const early: Buffer[] = initialBytes === undefined ? [] : [initialBytes];
    const reads: ReadTaker = { take: takerOf((bytes) => early.push(bytes)) };
    const isReused = reuseReadsOf(socket, reads);
    this.#session = new Http2Session(true, isTls ? 'https' : 'http', this, processBudget);
    const onLost = () => this.#handlers.onClosed(this);
    this.#transport = new Http2Transport(socket, this.#session, onLost, isReused ? reads : undefined);
    this.#transport.schedule();
    for (const bytes of early) this.#session.receive(bytes, performance.now());
  }

  get state(): ServedConnection['state'] {
    const { headSince } = this.#session;
    if (headSince !== undefined && !this.#isClosing)
      return { kind: 'head', since: Math.max(headSince, this.#openedAt) };
    if (this.#session.streams.size > 0 || this.#isClosing) return { kind: 'busy', since: this.#idleSince };
    return { kind: 'idle', since: this.#idleSince };
  }

  /** GOAWAY in two steps (RFC 9113 §6.8), so that requests that are under way are not lost. */
  drain(): void {
    if (this.#isDraining) return;
    this.#isDraining = true;
    this.#session.announceGoaway();
    this.#session.ping();
    const timer = setTimeout(() => this.#goAway(), GOAWAY_GRACE_MS);
    this.socket.once('close', () => clearTimeout(timer));
  }

  refuse(refusal: Refusal): void {
    this.#handlers.onUnreadable(this.#caller, refusal);
    this.#session.goaway(ENHANCE_YOUR_CALM);
    this.#close();
  }

  // SessionEvents

  onRequest(stream: Http2Stream, fields: string[]): void {
    const read = readRequest(fields, this.#session.isCased);
    if (typeof read === 'string') {
      this.#session.refuseMalformed(stream, read);
      return;
    }
    if (stream.isRemoteEnded && (read.contentLength ?? 0) > 0) {
      this.#session.refuseMalformed(stream, 'less DATA than content-length says (RFC 9113 §8.1.1)');
      return;
    }
    stream.declaredLength = read.contentLength;
    const request = new Http2Request(stream, read, this.#caller, this.#session);
    stream.owner = request;
    this.#handlers.onRequest(request);
  }

  onTooLarge(stream: Http2Stream, reason: string): void {
    const refusal = new Refusal('header_block_too_large', `the header list exceeds ${reason}`, { limit: reason });
    stream.owner = NOBODY;
    const answer: ImmediateResponse | undefined = this.#handlers.onUnreadable(this.#caller, refusal);
    if (answer === undefined) return;
    this.#session.respond(stream, answer.head);
    stream.write(answer.body);
    stream.end([]);
  }

  onMalformed(reason: string): void {
    this.#handlers.onUnreadable(this.#caller, new Refusal('http2_protocol_error', reason));
  }

  onOutput(): void {
    this.#transport?.schedule();
  }

  onMuchOutput(): void {
    this.#transport.flush();
  }

  onStreamClosed(): void {
    if (this.#session.streams.size > 0) return;
    this.#idleSince = performance.now();
    if (this.#session.isGoingAway) this.#close(FLUSH_TIMEOUT_MS);
  }

  onReady(): void {}

  onGoaway(): void {
    if (this.#session.streams.size === 0) this.#close();
  }

  onPingAcknowledged(): void {
    this.#transport.pingAcknowledged();
    if (this.#isDraining) this.#goAway();
  }

  onFatal(error: Http2Error): void {
    const code = error.code === ENHANCE_YOUR_CALM ? 'http2_flood' : 'http2_protocol_error';
    this.#handlers.onUnreadable(this.#caller, new Refusal(code, error.message));
    this.#close();
    this.#session.abandon(error.message);
  }

  #goAway(): void {
    if (this.#session.isGoingAway) return;
    this.#session.goaway(NO_ERROR);
    if (this.#session.streams.size === 0) this.#close(FLUSH_TIMEOUT_MS);
  }

  /** What was answered may be taken within `timeoutMs` (default: that of a faulty caller). */
  #close(timeoutMs?: number): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#transport.close(timeoutMs);
  }
}

/** Owns a stream that is answered at once. */
const NOBODY: StreamOwner = { onHead: () => {}, onRemoteEnd: () => {}, onReset: () => {} };
