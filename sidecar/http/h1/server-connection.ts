import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { Refusal } from '#policy/error/refusal.ts';
import { headerValue } from '#policy/http/flat-headers.ts';
import type { BodyConsumer, Caller, IncomingBody, OutgoingBody, ResponseHead, ServerRequest } from '../message.ts';
import { type ReadTaker, readAsStream, reuseReadsOf, takerOf } from '../reused-reads.ts';
import { serializeHead } from '../serialize-head.ts';
import type { ConnectionHandlers, ServedConnection } from '../served-connection.ts';
import type { BodySink } from './body-decoder.ts';
import { ProtocolError } from './protocol-error.ts';
import { type ParsedRequest, RequestParser } from './request-parser.ts';
import { ResponseWriter } from './response-writer.ts';

/** An idle connection is read this long after the drain began. As long as HTTP/2's first GOAWAY is let stand. */
const DRAIN_GRACE_MS = 1_000;
/** After its last response a connection is read (and nothing kept) for this long, so that the caller gets to see it. */
const LINGER_MS = 3_000;
/** The last response has this long to be taken by a slow reader; the same as `caller-drain` of stall-watch.ts. */
const FLUSH_TIMEOUT_MS = 30_000;

/** One caller's connection: requests in order, one at a time; reads no further than it is asked to. */
export class Http1ServerConnection implements ServedConnection, BodySink {
  readonly #socket: Socket;
  readonly #caller: Caller;
  readonly #handlers: ConnectionHandlers;
  readonly #parser: RequestParser;
  readonly #listeners = {
    data: (bytes: Buffer) => this.#feed(bytes),
    drain: () => this.#drained(),
    end: () => this.#sawEnd(),
    error: (error: Error) => this.#callerLeft(error.message),
  };
  readonly #requestEvents: RequestEvents = {
    onEnd: (isClosing) => this.#ended(isClosing),
    onAbort: (isReset) => this.#abort(isReset),
    takeOver: () => this.#takeOver(),
    isDraining: () => this.#isDraining,
  };
  readonly #reads: ReadTaker;
  /** What is being read is good for this call only. */
  #isBorrowed = false;
  /** Bytes that came behind the request under way. */
  #rest: Buffer | undefined;
  #request: Http1Request | undefined;
  #isClosing = false;
  #isDraining = false;
  /** The request under way turned out to be unreadable: nothing more is read. */
  #isBroken = false;
  #isFeeding = false;
  /** Monotonic: when the state of now began (idle, in a header block, busy, waiting for its caller to read). */
  #since = performance.now();
  /** Bytes that the caller had taken when that was last looked at. */
  #takenBytes = 0;

  /** `initialBytes`: what was read to find out what the caller speaks. */
  constructor(socket: Socket, caller: Caller, handlers: ConnectionHandlers, initialBytes?: Buffer) {
    this.#socket = socket;
    this.#caller = caller;
    this.#handlers = handlers;
    this.#parser = new RequestParser((request) => this.#begin(request), this);
    const early: Buffer[] = initialBytes === undefined ? [] : [initialBytes];
    this.#reads = { take: takerOf((bytes) => early.push(bytes)) };
    const isReused = reuseReadsOf(socket, this.#reads);
    if (isReused) this.#reads.take = takerOf((bytes) => this.#read(bytes));
    for (const [event, listener] of Object.entries(this.#listeners))
      if (event !== 'data' || !isReused) socket.on(event, listener);
    socket.on('close', () => {
      this.#callerLeft('the connection ended');
      this.#handlers.onClosed(this);
    });
    for (const bytes of early) this.#feed(bytes);
    if (socket.readableEnded) this.#sawEnd();
  }

  get socket(): Socket {
    return this.#socket;
  }

  /** What the connection waits for, and since when (monotonic ms). */
  get state(): ServedConnection['state'] {
    if (this.#request !== undefined || this.#isClosing) return { kind: 'busy', since: this.#since };
    if (this.#socket.writableLength > 0) {
      const takenBytes = this.#socket.bytesWritten - this.#socket.writableLength;
      if (takenBytes !== this.#takenBytes) this.#since = performance.now();
      this.#takenBytes = takenBytes;
      return { kind: 'write', since: this.#since };
    }
    return { kind: this.#parser.isInHead ? 'head' : 'idle', since: this.#since };
  }

  /**
   * Ends the connection after the response under way; an idle one after DRAIN_GRACE_MS, since its caller may have sent a
   * request that it could not know would not be served: that one is answered, with `connection: close`.
   */
  drain(): void {
    if (this.#isDraining) return;
    this.#isDraining = true;
    const timer = setTimeout(() => {
      if (this.#request === undefined && !this.#parser.isInHead) this.#close();
    }, DRAIN_GRACE_MS);
    this.#socket.once('close', () => clearTimeout(timer));
  }

  /** Answers what is no request, and ends. */
  refuse(refusal: Refusal): void {
    const answer = this.#handlers.onUnreadable(this.#caller, refusal);
    if (answer !== undefined && this.#socket.writable) {
      const headers = [...answer.head.headers, 'connection', 'close'];
      this.#socket.write(Buffer.concat([serializeHead({ ...answer.head, headers }), answer.body]));
    }
    this.#close();
  }

  // BodySink: the request's body, from the parser
  onChunk(chunk: Buffer): void {
    this.#request?.incoming.deliver(chunk);
  }

  onEnd(trailers: readonly string[]): void {
    this.#request?.incoming.finish(trailers);
  }

  #read(bytes: Buffer): void {
    this.#isBorrowed = true;
    this.#feed(bytes);
    this.#isBorrowed = false;
  }

  /**
   * Reads requests as long as each is answered at once and the caller takes the answers; what comes behind one under way is
   * kept.
   */
  #feed(bytes: Buffer): void {
    if (this.#isClosing || this.#isBroken) return;
    if (this.#rest !== undefined) {
      this.#keep(bytes); // TLS hands over what it had already taken in, paused or not: it comes behind what waits
      return;
    }
    const wasInHead = this.#parser.isInHead;
    let at = 0;
    this.#isFeeding = true;
    try {
      do at = this.#parser.push(bytes, at);
      while (at < bytes.length && this.#request === undefined && !this.#isClosing && !this.#socket.writableNeedDrain);
    } catch (error) {
      this.#fail(error);
    }
    this.#isFeeding = false;
    if (this.#isClosing || this.#isBroken) return;
    if (at < bytes.length) this.#keep(bytes.subarray(at));
    else if (this.#request !== undefined) this.#request.incoming.fedWhole();
    else if (this.#socket.writableNeedDrain) this.#socket.pause();
    else if (this.#parser.isInHead && !wasInHead) this.#since = performance.now();
  }

  /** Pipelined: read when its turn has come. */
  #keep(bytes: Buffer): void {
    if (this.#rest !== undefined) this.#rest = Buffer.concat([this.#rest, bytes]);
    else this.#rest = this.#isBorrowed ? Buffer.from(bytes) : bytes;
    this.#socket.pause();
  }

  /** With a request under way that is a caller who will not read the answer; else what was written still leaves. */
  #sawEnd(): void {
    if (this.#request !== undefined) this.#callerLeft('the caller closed the connection');
    else this.#close();
  }

  #begin(parsed: ParsedRequest): void {
    this.#since = performance.now();
    const request = new Http1Request(parsed, this.#caller, this.#socket, this.#requestEvents);
    this.#request = request;
    this.#handlers.onRequest(request);
  }

  #ended(isClosing: boolean): void {
    const mustClose = isClosing || this.#isDraining || this.#isBroken || this.#parser.isInBody;
    const { incoming } = this.#request ?? {};
    this.#request = undefined;
    this.#since = performance.now();
    if (mustClose) {
      // of a body that was answered before its end nothing more is read: who waits for it holds memory for it
      if (this.#parser.isInBody) incoming?.fail(new Error('the answer came before the end of the body'));
      this.#close();
      return;
    }
    this.#parser.next();
    if (this.#isFeeding) return; // the loop there goes on
    // a caller that sends requests and reads no answers would have us keep them all
    if (this.#socket.writableNeedDrain) this.#socket.pause();
    else this.#goOn();
  }

  #drained(): void {
    if (this.#request !== undefined) this.#request.drained();
    else if (!this.#isClosing) {
      this.#since = performance.now();
      this.#goOn();
    }
  }

  /** Reads what was kept, and then what comes. */
  #goOn(): void {
    const rest = this.#rest;
    this.#rest = undefined;
    if (rest !== undefined) this.#feed(rest);
    if (this.#rest === undefined && !this.#socket.writableNeedDrain) this.#socket.resume();
  }

  /** `isReset`: the end of the connection would look like the end of the answer, so it must not be a clean one. */
  #abort(isReset: boolean): void {
    if (isReset && !(this.#socket instanceof TLSSocket)) this.#socket.resetAndDestroy();
    else this.#socket.destroy();
  }

  #fail(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    const refusal = new Refusal(error instanceof ProtocolError ? error.code : 'internal_error', reason, limitOf(error));
    if (this.#request === undefined) {
      this.refuse(refusal);
      return;
    }
    // in the body of a request that is under way: its reader learns of it and refuses
    this.#isBroken = true;
    this.#request.incoming.fail(refusal);
  }

  #callerLeft(message: string): void {
    const request = this.#request;
    this.#request = undefined;
    if (request !== undefined) {
      request.onAbandoned?.(new Error(message)); // first: that is the reason, not the body that breaks off with it
      request.incoming.fail(new Error(message));
    }
    if (!this.#socket.destroyed) this.#socket.destroy();
  }

  #close(): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    const socket = this.#socket;
    socket.resume();
    const unflushed = setTimeout(() => socket.destroy(), FLUSH_TIMEOUT_MS);
    let linger: NodeJS.Timeout | undefined;
    socket.end(() => {
      clearTimeout(unflushed);
      linger = setTimeout(() => socket.destroy(), LINGER_MS);
    });
    socket.once('close', () => {
      clearTimeout(unflushed);
      clearTimeout(linger);
    });
  }

  #takeOver(): Duplex {
    const socket = this.#socket;
    for (const [event, listener] of Object.entries(this.#listeners)) socket.off(event, listener);
    socket.on('error', () => socket.destroy());
    this.#request = undefined;
    this.#isClosing = true;
    socket.pause();
    readAsStream(socket, this.#reads);
    if (this.#rest !== undefined) socket.unshift(this.#rest);
    return socket;
  }
}

function limitOf(error: unknown): { limit?: string } {
  const isTooLarge = error instanceof ProtocolError && error.code === 'header_block_too_large';
  return isTooLarge ? { limit: /max\w+ \d+/.exec(error.message)?.[0] ?? '' } : {};
}

/** The body of a request, handed on as its consumer takes it. */
class Http1Body implements IncomingBody {
  readonly isPresent: boolean;
  readonly declaredLength: number | undefined;
  readonly #socket: Socket;
  readonly #beforeStart: (() => void) | undefined;
  #consumer: BodyConsumer | undefined;
  /** What came with the head, before the consumer did: the socket is paused then, so one read of it. */
  #early: Buffer[] = [];
  #outcome: readonly string[] | Error | undefined;
  #isCancelled = false;
  #isPaused = false;
  /** All of it has come, or no more will. */
  #isOver = false;

  constructor(parsed: ParsedRequest, socket: Socket, beforeStart: (() => void) | undefined) {
    this.isPresent = parsed.hasBody;
    this.declaredLength = parsed.block.contentLength;
    this.#socket = socket;
    this.#beforeStart = beforeStart;
  }

  start(consumer: BodyConsumer): void {
    this.#beforeStart?.();
    this.#consumer = consumer;
    const early = this.#early;
    this.#early = [];
    this.#socket.resume();
    for (const chunk of early) consumer.onChunk(chunk);
    if (this.#outcome !== undefined) this.#settle(this.#outcome);
  }

  deliver(chunk: Buffer): void {
    if (this.#isCancelled) return;
    if (this.#consumer !== undefined) {
      this.#consumer.onChunk(chunk);
      return;
    }
    this.#early.push(Buffer.from(chunk));
  }

  /** A read of the socket was parsed whole: without a reader nothing more is read. */
  fedWhole(): void {
    if (this.#early.length > 0 && this.#outcome === undefined) this.#socket.pause();
  }

  finish(trailers: readonly string[]): void {
    this.#settle(trailers);
  }

  fail(error: Error): void {
    this.#settle(error);
  }

  pause(): void {
    if (this.#isOver) return;
    this.#isPaused = true;
    this.#socket.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.#socket.resume();
  }

  cancel(): void {
    this.#isCancelled = true;
    this.#early = [];
    this.#consumer = undefined;
    this.#socket.resume();
  }

  #settle(outcome: readonly string[] | Error): void {
    this.#isOver = true;
    if (this.#isPaused) this.resume(); // to see the caller leave, if it does
    const consumer = this.#consumer;
    if (consumer === undefined) {
      this.#outcome ??= outcome;
      return;
    }
    this.#consumer = undefined;
    this.#isCancelled = true;
    if (outcome instanceof Error) consumer.onError(outcome);
    else consumer.onEnd(outcome);
  }
}

interface RequestEvents {
  onEnd(isClosing: boolean): void;
  onAbort(isReset: boolean): void;
  takeOver(): Duplex;
  isDraining(): boolean;
}

const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n';

class Http1Request implements ServerRequest {
  readonly head: ServerRequest['head'];
  readonly body: IncomingBody;
  readonly incoming: Http1Body;
  readonly caller: Caller;
  readonly isUpgrade: boolean;
  readonly expectsContinue: boolean;
  onAbandoned: ((error: Error) => void) | undefined = undefined;
  readonly #socket: Socket;
  readonly #isClosing: boolean;
  readonly #events: RequestEvents;
  #writer: ResponseWriter | undefined;
  #hasContinued = false;

  constructor(parsed: ParsedRequest, caller: Caller, socket: Socket, events: RequestEvents) {
    const { head, block } = parsed;
    this.head = head;
    this.caller = caller;
    this.#socket = socket;
    this.#events = events;
    this.#isClosing = block.isClose || (head.version === '1.0' && !block.isKeepAlive);
    const wantsContinue = block.expectsContinue && parsed.hasBody && head.version === '1.1';
    this.expectsContinue = wantsContinue;
    this.incoming = new Http1Body(parsed, socket, wantsContinue ? () => this.#continue() : undefined);
    this.body = this.incoming;
    // only WebSocket: behind another protocol (h2c) requests would pass that nobody decides on
    this.isUpgrade =
      block.isUpgrade && !parsed.hasBody && headerValue(head.headers, 'upgrade')?.toLowerCase() === 'websocket';
  }

  inform(head: ResponseHead): void {
    if (this.#writer === undefined && this.head.version === '1.1') this.#socket.write(serializeHead(head));
  }

  respond(head: ResponseHead): OutgoingBody {
    const situation = {
      method: this.head.method,
      version: this.head.version === '1.0' ? ('1.0' as const) : ('1.1' as const),
      // a caller that was not told to send its body may send it all the same, or not: nobody can know what comes next
      isClosing: this.#isClosing || this.#events.isDraining() || (this.expectsContinue && !this.#hasContinued),
    };
    this.#writer = new ResponseWriter(this.#socket, head, situation, this.#events);
    return this.#writer;
  }

  switchProtocols(head: ResponseHead): Duplex {
    this.#socket.write(serializeHead(head));
    return this.#events.takeOver();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  drained(): void {
    this.#writer?.onDrain?.();
  }

  #continue(): void {
    this.#hasContinued = true;
    if (this.#writer === undefined) this.#socket.write(CONTINUE);
  }
}
