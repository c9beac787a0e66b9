import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { Refusal } from '#policy/error/refusal.ts';
import { headerValue } from '#policy/http/flat-headers.ts';
import { type ConnectionLife, ENDLESS } from '../../identity/connection-life.ts';
import { endToEndTrailers } from '../hop-by-hop.ts';
import type { BodyConsumer, IncomingBody, OutgoingRequest, UpstreamResponse } from '../message.ts';
import { UpstreamFailure } from '../message.ts';
import { type ReadTaker, readAsStream, takerOf } from '../reused-reads.ts';
import { fieldLines } from '../serialize-head.ts';
import type { BodySink } from './body-decoder.ts';
import { GatheredWrites } from './gathered-writes.ts';
import { MAX_JOINED_BYTES, message } from './message-bytes.ts';
import { ProtocolError } from './protocol-error.ts';
import { type ParsedResponse, ResponseParser } from './response-parser.ts';

/** A body held back for 100 (Continue) is sent without it after this. */
const CONTINUE_TIMEOUT_MS = 1_000;

/** What the pool hears of a connection. */
export interface ClientEvents {
  /** The exchange has ended and the connection may carry another. `keepAliveSeconds`: what the server offered. */
  onFree(connection: ClientConnection, keepAliveSeconds: number | undefined): void;
  onClosed(connection: ClientConnection): void;
}

/** One connection to an app or a peer: one exchange at a time, strictly in order. */
export class ClientConnection implements BodySink {
  readonly #socket: Socket;
  readonly #events: ClientEvents;
  readonly #parser: ResponseParser;
  readonly #reads: ReadTaker;
  #exchange: ClientExchange | undefined;
  /** The exchange whose response has just ended, until the read it came with is looked through. */
  #finished: { readonly exchange: ClientExchange; readonly trailers: readonly string[] } | undefined;
  /** Exchanges that ended well before this one: the connection was kept. */
  #served = 0;
  #hasAnswerBegun = false;
  readonly #listeners = {
    drain: () => this.#exchange?.drained(),
    end: () => this.#ended(),
    error: (error: Error) => this.#broke(error.message),
  };
  /** Monotonic: from then on it must not be used again. */
  idleUntil = 0;
  /** Monotonic: its last exchange ended. */
  idleSince = 0;
  /** When it drains, it is retired. */
  life: ConnectionLife = ENDLESS;
  /** It takes no further exchange. */
  isRetired = false;

  /** `reads`: where what is read comes from. */
  constructor(socket: Socket, events: ClientEvents, reads: ReadTaker) {
    this.#socket = socket;
    this.#reads = reads;
    reads.take = takerOf((bytes) => this.#feed(bytes));
    this.#events = events;
    this.#parser = new ResponseParser((response) => this.#head(response), this);
    for (const [event, listener] of Object.entries(this.#listeners)) socket.on(event, listener);
    socket.on('close', () => {
      this.#broke('the connection ended before the answer');
      this.#events.onClosed(this);
    });
  }

  /** False once it is retired or the other side has begun to close, or while it has not taken all of a request: it must get no other one. */
  get isUsable(): boolean {
    const socket = this.#socket;
    return (
      !this.isRetired && !socket.destroyed && socket.writable && socket.writableLength === 0 && !socket.readableEnded
    );
  }

  /** Begins an exchange; the response comes through it. */
  send(exchange: ClientExchange): void {
    this.#exchange = exchange;
    this.#hasAnswerBegun = false;
    this.#parser.reset(exchange.request.head.method);
    exchange.begin(this.#socket);
  }

  destroy(): void {
    this.#socket.destroy();
  }

  // BodySink: the response's body, from the parser
  onChunk(chunk: Buffer): void {
    this.#exchange?.deliver(chunk);
  }

  onEnd(trailers: readonly string[]): void {
    if (this.#exchange !== undefined) this.#finished = { exchange: this.#exchange, trailers };
    this.#exchange = undefined;
  }

  #feed(bytes: Buffer): void {
    this.#hasAnswerBegun = true;
    try {
      const stoppedAt = this.#parser.push(bytes, 0);
      if (this.#finished !== undefined) this.#release(stoppedAt === bytes.length);
      else if (stoppedAt < bytes.length) this.#exchange?.leftOver(Buffer.from(bytes.subarray(stoppedAt)));
      else this.#exchange?.fedWhole();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.#exchange?.fail(
        new UpstreamFailure(error instanceof ProtocolError ? 'malformed' : 'closed', message, false),
      );
      this.#exchange = undefined;
      this.#socket.destroy();
    }
  }

  /**
   * Lets the ended exchange go, after the parser has returned: were the connection used again within it, surplus bytes
   * behind this answer would be read as the next caller's. `isClean`: there were none.
   */
  #release(isClean: boolean): void {
    const finished = this.#finished;
    if (finished === undefined) return;
    this.#finished = undefined;
    this.#served++;
    const { exchange, trailers } = finished;
    if (isClean && exchange.isReusable && exchange.isSent) {
      this.#socket.resume();
      this.#events.onFree(this, exchange.keepAliveSeconds);
    } else this.#socket.destroy();
    exchange.finish(trailers);
  }

  /** `#exchange` is let go on a switch: the connection is no longer HTTP's. */
  #head(response: ParsedResponse): void {
    const exchange = this.#exchange;
    if (exchange === undefined) return;
    if (response.head.status !== 101) {
      exchange.head(response);
      return;
    }
    if (!exchange.request.isUpgrade) throw new ProtocolError('101 without a request to switch (RFC 9110 §15.2.2)');
    const socket = this.#socket;
    for (const [event, listener] of Object.entries(this.#listeners)) socket.off(event, listener);
    socket.on('error', () => socket.destroy());
    socket.pause();
    readAsStream(socket, this.#reads);
    exchange.switched(response, socket);
  }

  #ended(): void {
    if (this.#exchange !== undefined && this.#parser.endOfInput()) {
      this.#release(false); // close-delimited: a good end
      return;
    }
    if (this.#parser.isInHead) {
      this.#exchange?.fail(new UpstreamFailure('malformed', 'the connection ended within a header block', false));
      this.#exchange = undefined;
    }
    this.#broke('the connection ended before the answer was complete');
    this.#socket.destroy();
  }

  #broke(message: string): void {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    exchange?.fail(new UpstreamFailure('closed', message, false, this.#served > 0 && !this.#hasAnswerBegun));
  }
}

/** One request and its response on a connection. */
export class ClientExchange implements IncomingBody {
  readonly request: OutgoingRequest;
  readonly response: Promise<UpstreamResponse>;
  isPresent = true;
  declaredLength: number | undefined;
  isReusable = false;
  /** Monotonic: since when it is in line for a connection. */
  waitsSince = 0;
  /** The whole request was handed to the socket. */
  isSent = false;
  keepAliveSeconds: number | undefined;
  readonly #resolve: (response: UpstreamResponse) => void;
  readonly #reject: (failure: Error) => void;
  #socket: Socket | undefined;
  #hasHead = false;
  #consumer: BodyConsumer | undefined;
  /** Body that came with the head, until its reader has its turn: the socket is paused meanwhile. */
  #early: Buffer[] = [];
  #outcome: readonly string[] | Error | undefined;
  #cancelled: Error | undefined;
  #switch: Socket | undefined;
  /** Begins to send a body that was held back for 100 (Continue). */
  #goOn: () => void = () => {};

  constructor(request: OutgoingRequest) {
    this.request = request;
    const { promise, resolve, reject } = Promise.withResolvers<UpstreamResponse>();
    this.response = promise;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** Writes the request. */
  begin(socket: Socket): void {
    this.#socket = socket;
    const { body } = this.request;
    if (body === null) {
      this.#writeHead(undefined);
      message.send(socket);
      this.isSent = true;
    } else if (Buffer.isBuffer(body)) {
      this.#sendBuffered(socket, body);
    } else this.#sendStream(socket, body);
  }

  head(parsed: ParsedResponse): void {
    if (parsed.head.status < 200) {
      if (parsed.head.status === 100) this.#goOn();
      else this.request.onInformation(parsed.head);
      return;
    }
    this.#hasHead = true;
    this.isReusable = parsed.isReusable;
    this.keepAliveSeconds = parsed.block.keepAliveSeconds;
    this.declaredLength = parsed.declaredLength;
    this.isPresent = parsed.hasBody;
    const response: UpstreamResponse = { head: parsed.head, body: this, switched: undefined };
    this.request.onResponse(response);
    this.#resolve(response);
  }

  switched(parsed: ParsedResponse, socket: Socket): void {
    this.#hasHead = true;
    this.#switch = socket;
    this.#resolve({ head: parsed.head, body: this, switched: socket satisfies Duplex });
  }

  /** Bytes behind a 101: the first of the other protocol. */
  leftOver(bytes: Buffer): void {
    this.#switch?.unshift(bytes);
  }

  deliver(chunk: Buffer): void {
    if (this.#consumer !== undefined) this.#consumer.onChunk(chunk);
    else this.#early.push(Buffer.from(chunk));
  }

  /** A read of the socket was parsed whole: without a reader nothing more is read. */
  fedWhole(): void {
    if (this.#hasHead && this.#consumer === undefined && this.#outcome === undefined) this.#socket?.pause();
  }

  finish(trailers: readonly string[]): void {
    this.#settle(trailers);
  }

  fail(error: Error): void {
    if (!this.#hasHead)
      this.#reject(
        this.#cancelled === undefined ? error : new UpstreamFailure('cancelled', this.#cancelled.message, false),
      );
    else this.#settle(error);
  }

  start(consumer: BodyConsumer): void {
    this.#consumer = consumer;
    const early = this.#early;
    this.#early = [];
    this.resume();
    for (const chunk of early) consumer.onChunk(chunk);
    if (this.#outcome !== undefined) this.#settle(this.#outcome);
  }

  pause(): void {
    if (this.#outcome === undefined) this.#socket?.pause();
  }

  resume(): void {
    if (this.#outcome === undefined) this.#socket?.resume();
  }

  get isCancelled(): boolean {
    return this.#cancelled !== undefined;
  }

  cancel(error?: Error): void {
    this.#cancelled = error ?? new Error('not wanted any more');
    if (this.#outcome !== undefined) return; // the connection is another's by now
    if (this.#socket === undefined) this.#reject(new UpstreamFailure('cancelled', this.#cancelled.message, true));
    this.#consumer = undefined;
    this.#early = [];
    this.#socket?.destroy();
  }

  drained(): void {
    const { body } = this.request;
    if (body === null || Buffer.isBuffer(body) || this.isSent) return;
    this.request.onBodyBlocked(false);
    body.resume();
  }

  #settle(outcome: readonly string[] | Error): void {
    this.#outcome ??= outcome;
    const consumer = this.#consumer;
    if (consumer === undefined) return;
    this.#consumer = undefined;
    if (outcome instanceof Error) consumer.onError(outcome);
    else consumer.onEnd(outcome);
  }

  /** `framing`: further field lines, without the last CRLF. */
  #writeHead(framing: string | undefined): void {
    const { method, target, headers } = this.request.head;
    message.latin1(method);
    message.latin1(' ');
    message.latin1(target);
    message.latin1(' HTTP/1.1\r\n');
    message.fields(headers);
    if (framing !== undefined) {
      message.latin1(framing);
      message.lineEnd();
    }
    message.lineEnd();
  }

  #sendBuffered(socket: Socket, body: Buffer): void {
    // a buffered body may have come in chunks: its length is known now
    const hasLength = headerValue(this.request.head.headers, 'content-length') !== undefined;
    this.#writeHead(hasLength ? undefined : `content-length: ${body.length}`);
    if (body.length <= MAX_JOINED_BYTES) {
      message.copy(body);
      message.send(socket);
    } else {
      socket.cork();
      message.send(socket);
      socket.write(body);
      socket.uncork();
    }
    this.isSent = true;
  }

  #sendStream(socket: Socket, body: IncomingBody): void {
    const lines: string[] = [];
    if (body.declaredLength === undefined) lines.push('transfer-encoding: chunked');
    if (this.request.expectsContinue) lines.push('expect: 100-continue');
    this.#writeHead(lines.length === 0 ? undefined : lines.join('\r\n'));
    const writes = new GatheredWrites(socket);
    writes.move(message);
    this.#goOn = () => {
      clearTimeout(timer);
      this.#goOn = () => {};
      if (!this.#hasHead && !socket.destroyed) this.#sendBody(socket, body, writes);
    };
    // RFC 9110 §10.1.1: a server may not know the expectation; it is not waited for without end
    const timer = this.request.expectsContinue ? setTimeout(() => this.#goOn(), CONTINUE_TIMEOUT_MS) : undefined;
    if (timer === undefined) this.#goOn();
  }

  #block(body: IncomingBody): void {
    body.pause();
    this.request.onBodyBlocked(true);
  }

  #sendBody(socket: Socket, body: IncomingBody, writes: GatheredWrites): void {
    this.request.onBodyBlocked(false);
    const isChunked = body.declaredLength === undefined;
    body.start({
      onChunk: (chunk) => {
        this.request.onBodyProgress(chunk.length);
        if (socket.destroyed || chunk.length === 0) return;
        const isWritable = isChunked ? writes.addChunk(chunk) : writes.add(chunk);
        if (!isWritable) this.#block(body);
      },
      onEnd: (received) => {
        this.request.onBodyEnd();
        this.isSent = true;
        if (isChunked) writes.text(`0\r\n${fieldLines(endToEndTrailers(received))}\r\n`);
        writes.flush(); // the connection may carry another request from here on
      },
      onError: (error) => {
        // the caller's fault is told as it is; the app sees its request break off
        this.fail(error instanceof Refusal ? error : new UpstreamFailure('cancelled', error.message, false));
        socket.destroy();
      },
    });
  }
}
