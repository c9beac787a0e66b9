import type { FlatHeaders } from '#policy/http/flat-headers.ts';
import type { RequestHead, ResponseHead } from '../message.ts';
import type { OutputBuffer } from '../output-buffer.ts';
import { trailerComplaint } from './field-rules.ts';
import { FloodGuard } from './flood-guard.ts';
import {
  ACK,
  CANCEL,
  COMPRESSION_ERROR,
  ENHANCE_YOUR_CALM,
  errorName,
  FLOW_CONTROL_ERROR,
  FRAME_SIZE_ERROR,
  GOAWAY,
  INTERNAL_ERROR,
  NO_ERROR,
  PING,
  PREFACE,
  PRIORITY,
  PROTOCOL_ERROR,
  PUSH_PROMISE,
  REFUSED_STREAM,
  RST_STREAM,
  SETTINGS,
  STREAM_CLOSED,
  WINDOW_UPDATE,
} from './frame.ts';
import { type FrameHandler, FrameReader } from './frame-reader.ts';
import { FrameWriter } from './frame-writer.ts';
import { CompressionError, HeaderDecoder } from './hpack/header-decoder.ts';
import { Http2Error } from './http2-error.ts';
import { Http2Stream } from './http2-stream.ts';
import type { MemoryBudget } from './memory-budget.ts';
import { CONNECTION_WINDOW_BYTES, ReceiveCredit } from './receive-credit.ts';
import { ResetMemory } from './reset-memory.ts';
import { MAX_QUEUED_BYTES_PER_CONNECTION, SendQueue } from './send-queue.ts';
import {
  DEFAULT_WINDOW_BYTES,
  defaultSettings,
  ENABLE_CONNECT_PROTOCOL,
  ENABLE_PUSH,
  INITIAL_WINDOW_SIZE,
  KEEP_HEADER_CASE,
  MAX_CONCURRENT_STREAMS,
  MAX_HEADER_LIST_SIZE,
  MAX_WINDOW_BYTES,
  type PeerSettings,
  readSettings,
  settingsPayload,
} from './settings.ts';
import { StreamTable } from './stream-table.ts';

/** Requests at once on one connection; further ones are refused with REFUSED_STREAM. */
export const MAX_STREAMS_PER_CONNECTION = 4_096;
/** Heads that are written in one turn of the event loop; beyond it they leave at once, so that their limit is looked at. */
const MUCH_OUTPUT_BYTES = 1_048_576;
/** Bodies that wait on one connection, in both directions; beyond it its further requests are refused. */
export const MAX_HELD_BYTES_PER_CONNECTION = 33_554_432;
/** What a connection may hold without that, while the memory of the process is short. */
export const FAIR_BYTES_PER_CONNECTION = 1_048_576;
/** What the other side may send of one body before it was taken. */
export const STREAM_WINDOW_BYTES = 1_048_576;
/** Largest header list that we take (RFC 9113 §6.5.2's measure); more is 431. As large as HTTP/1.1's header block here. */
export const MAX_HEADER_LIST_BYTES = 61_440;
/** Fields of one header list; more is 431. The same as in HTTP/1.1. */
export const MAX_HEADER_FIELDS = 256;
const MAX_STREAM_ID = 0x7fff_ffff;
/** Room for the pseudo-header fields of a request beside its target and authority, and for :status. */
const REQUEST_LINE_BYTES = 256;
const STATUS_BYTES = 32;
/** Flood allowance given back for a stream that ended well. */
const COMPLETION_FORGIVES = 4;
const EMPTY = Buffer.alloc(0);
const NO_TRAILERS: FlatHeaders = [];

/** What a session tells its connection. Called while bytes are read or written; must not throw. */
export interface SessionEvents {
  /** Server: a request began. It sets `stream.owner` before it returns. */
  onRequest(stream: Http2Stream, fields: string[]): void;
  /** Server: a header list over a limit, to be answered with 431. */
  onTooLarge(stream: Http2Stream, reason: string): void;
  /** Server: a request that is none; its stream was reset. */
  onMalformed(reason: string): void;
  /** There is output that was not there before. */
  onOutput(): void;
  /** There is so much of it that it should leave before the turn of the event loop ends. */
  onMuchOutput(): void;
  /** A stream has ended: there is room for another one. */
  onStreamClosed(): void;
  /** The peer's first SETTINGS have come, or later ones that allow more streams. */
  onReady(): void;
  /** The peer will not serve streams above `lastStreamId`. */
  onGoaway(lastStreamId: number, code: number): void;
  onPingAcknowledged(): void;
  /** The connection cannot go on; GOAWAY stands in the output. */
  onFatal(error: Http2Error): void;
}

/**
 * HTTP/2 (RFC 9113), either side of a connection: bytes in, events out; events in, bytes out. Knows no socket and no timer;
 * the clock comes in with the bytes.
 */
export class Http2Session implements FrameHandler {
  readonly peer: PeerSettings = defaultSettings();
  readonly streams = new StreamTable();
  /** The window of the connection's receiving side. */
  readonly credit: ReceiveCredit;
  /** The peer's first SETTINGS have come. */
  isReady = false;
  /** It said, or we said, that no further streams are served. */
  isGoingAway = false;
  isFatal = false;
  /** Our SETTINGS have not been acknowledged yet. */
  isUnacknowledged = true;
  readonly isServer: boolean;
  readonly #events: SessionEvents;
  readonly #budget: MemoryBudget;
  readonly #scheme: 'http' | 'https';
  readonly #writer: FrameWriter;
  readonly #reader: FrameReader;
  readonly #queue: SendQueue;
  readonly #decoder = new HeaderDecoder();
  readonly #guard = new FloodGuard();
  readonly #resets = new ResetMemory();
  #nextStreamId: number;
  /** Highest stream of the peer's that we have seen, and up to which we serve. */
  #lastPeerStreamId = 0;
  #acceptUpTo = MAX_STREAM_ID;
  /** Whose DATA is being read; undefined: nobody's any more. */
  #dataStream: Http2Stream | undefined;
  #now = 0;

  /** `firstStreamId`: odd, of the streams that a client opens. */
  constructor(
    isServer: boolean,
    scheme: 'http' | 'https',
    events: SessionEvents,
    budget: MemoryBudget,
    firstStreamId = 1,
  ) {
    this.isServer = isServer;
    this.#nextStreamId = firstStreamId;
    this.#events = events;
    this.#budget = budget;
    this.#scheme = scheme;
    this.#writer = new FrameWriter(() => events.onOutput());
    this.#reader = new FrameReader(isServer, this, this.#guard);
    this.#queue = new SendQueue(this.#writer, budget, (stream, trailers) => this.endStream(stream, trailers));
    this.credit = new ReceiveCredit(this.#writer, budget);
    if (!isServer) this.#writer.raw(PREFACE);
    const settings: (readonly [number, number])[] = [
      [INITIAL_WINDOW_SIZE, STREAM_WINDOW_BYTES],
      [MAX_HEADER_LIST_SIZE, MAX_HEADER_LIST_BYTES],
      [KEEP_HEADER_CASE, 1],
    ];
    if (isServer) settings.push([MAX_CONCURRENT_STREAMS, MAX_STREAMS_PER_CONNECTION], [ENABLE_CONNECT_PROTOCOL, 1]);
    else settings.push([ENABLE_PUSH, 0]);
    this.#writer.frame(SETTINGS, 0, 0, settingsPayload(settings));
    this.#writer.windowUpdate(0, CONNECTION_WINDOW_BYTES - DEFAULT_WINDOW_BYTES);
  }

  /** What waits to be sent. */
  get output(): OutputBuffer {
    return this.#writer.output;
  }

  /**
   * Monotonic ms: since when a preface, a header block or a frame is not whole, which the peer must go on with in time;
   * undefined: there is none. 0: since the connection began.
   */
  get headSince(): number | undefined {
    return this.#reader.headSince;
  }

  /** Names of fields keep their case on this connection. */
  get isCased(): boolean {
    return this.peer.keepsHeaderCase;
  }

  get isCongested(): boolean {
    return this.#queue.isCongested;
  }

  /** Streams that may still be opened here. */
  get room(): number {
    if (this.isGoingAway || this.isFatal || this.#nextStreamId > MAX_STREAM_ID) return 0;
    return this.peer.maxConcurrentStreams - this.streams.size;
  }

  /** Reads what has come; it is good for this call only. Faults of the peer end in `onFatal`. `now`: monotonic ms. */
  receive(input: Buffer, now: number): void {
    if (this.isFatal) return;
    this.#now = now;
    try {
      this.#reader.push(input, now);
    } catch (error) {
      this.#fatal(asHttp2Error(error));
    }
  }

  // ---- FrameHandler: DATA

  onDataBegin(id: number, flowBytes: number, size: number, isEnd: boolean): void {
    if (!this.credit.spend(flowBytes))
      throw new Http2Error(FLOW_CONTROL_ERROR, 'more DATA than the window of the connection (RFC 9113 §6.9)');
    if (size === 0 && !isEnd) this.#guard.note('emptyData', this.#now);
    this.#dataStream = undefined;
    const stream = this.streams.get(id);
    if (stream === undefined) {
      this.#checkClosed(id, 'DATA');
      return;
    }
    stream.receiveWindow -= flowBytes;
    stream.receivedBytes += size;
    const { declaredLength } = stream;
    if (stream.isRemoteEnded) this.#streamFault(stream, STREAM_CLOSED, 'DATA after the end of the stream');
    else if (stream.receiveWindow < 0)
      this.#streamFault(stream, FLOW_CONTROL_ERROR, 'more DATA than the window of the stream (RFC 9113 §6.9)');
    else if (declaredLength !== undefined && stream.receivedBytes > declaredLength)
      this.#streamFault(stream, PROTOCOL_ERROR, 'more DATA than content-length says (RFC 9113 §8.1.1)');
    else if (!this.isServer && !stream.hasFinalHead)
      this.#streamFault(stream, PROTOCOL_ERROR, 'DATA before the head of the response (RFC 9113 §8.1)');
    else {
      this.#dataStream = stream;
      if (flowBytes > size) stream.skip(flowBytes - size);
    }
  }

  onData(chunk: Buffer): void {
    const stream = this.#dataStream;
    if (stream === undefined || stream.isReset) this.credit.give(chunk.length);
    else stream.receive(chunk);
  }

  onPadding(size: number): void {
    this.credit.give(size);
  }

  onDataEnd(isEnd: boolean): void {
    const stream = this.#dataStream;
    this.#dataStream = undefined;
    if (isEnd && stream !== undefined && !stream.isReset) this.#remoteEnd(stream, NO_TRAILERS);
  }

  // ---- FrameHandler: header blocks

  onHeaderBlock(id: number, isEnd: boolean, bytes: Buffer, start: number, end: number): void {
    const fields = this.#decoder.decode(bytes, start, end, MAX_HEADER_LIST_BYTES, MAX_HEADER_FIELDS);
    const tooLarge = this.#decoder.isTooLarge ? this.#decoder.tooLargeReason : undefined;
    const stream = this.streams.get(id);
    if (stream !== undefined) {
      if (tooLarge !== undefined) this.#streamFault(stream, PROTOCOL_ERROR, `header list exceeds ${tooLarge}`);
      else if (stream.isRemoteEnded) this.#streamFault(stream, STREAM_CLOSED, 'HEADERS after the end of the stream');
      else if (this.isServer || stream.hasFinalHead) this.#readTrailers(stream, fields, isEnd);
      else this.#readResponseHead(stream, fields, isEnd);
      return;
    }
    if (!this.isServer || (id & 1) === 0) {
      if (this.isServer)
        throw new Http2Error(PROTOCOL_ERROR, `a request on stream ${id}, which is even (RFC 9113 §5.1.1)`);
      this.#checkClosed(id, 'HEADERS');
      return;
    }
    if (id <= this.#lastPeerStreamId) {
      this.#checkClosed(id, 'HEADERS');
      return;
    }
    this.#lastPeerStreamId = id;
    this.#openServed(id, fields, isEnd, tooLarge);
  }

  #openServed(id: number, fields: string[], isEnd: boolean, tooLarge: string | undefined): void {
    if (id > this.#acceptUpTo) {
      this.#guard.note('ignored', this.#now);
      this.#resets.remember(id); // it was told: GOAWAY
      return;
    }
    if (this.streams.size >= MAX_STREAMS_PER_CONNECTION || this.#holdsTooMuch) {
      this.#guard.note('refused', this.#now);
      this.#reset(id, REFUSED_STREAM);
      return;
    }
    const stream = new Http2Stream(this, id, this.peer.initialWindowBytes, STREAM_WINDOW_BYTES);
    stream.isRemoteEnded = isEnd;
    stream.isPresent = !isEnd;
    this.streams.add(stream);
    if (tooLarge === undefined) this.#events.onRequest(stream, fields);
    else this.#events.onTooLarge(stream, tooLarge);
    if (isEnd && !stream.isReset && stream.declaredLength !== undefined && stream.declaredLength > 0)
      this.#streamFault(stream, PROTOCOL_ERROR, 'less DATA than content-length says (RFC 9113 §8.1.1)');
  }

  /** Where memory is short, those are refused first that it is short because of. */
  get #holdsTooMuch(): boolean {
    const heldBytes = this.#queue.queuedBytes + this.credit.waitingBytes;
    if (heldBytes > MAX_HELD_BYTES_PER_CONNECTION || this.#budget.isOverdrawn) return true;
    return this.#budget.isExhausted && heldBytes > FAIR_BYTES_PER_CONNECTION;
  }

  /** Takes back a request that is malformed: no owner is set yet. */
  refuseMalformed(stream: Http2Stream, reason: string): void {
    this.#streamFault(stream, PROTOCOL_ERROR, reason);
  }

  #readResponseHead(stream: Http2Stream, fields: string[], isEnd: boolean): void {
    const isInterim = fields[0] === ':status' && fields[1]?.charCodeAt(0) === 0x31;
    if (isInterim && isEnd) {
      this.#streamFault(stream, PROTOCOL_ERROR, 'an interim response that ends the stream (RFC 9113 §8.1)');
      return;
    }
    stream.hasFinalHead = !isInterim;
    if (isEnd) stream.isPresent = false;
    stream.owner?.onHead(fields);
    if (isEnd && !stream.isReset) this.#remoteEnd(stream, NO_TRAILERS);
  }

  #readTrailers(stream: Http2Stream, fields: string[], isEnd: boolean): void {
    if (!isEnd) {
      this.#streamFault(stream, PROTOCOL_ERROR, 'a second header block that does not end the stream (RFC 9113 §8.1)');
      return;
    }
    const complaint = trailerComplaint(fields, this.isCased);
    if (complaint !== undefined) this.#streamFault(stream, PROTOCOL_ERROR, complaint);
    else this.#remoteEnd(stream, fields);
  }

  #remoteEnd(stream: Http2Stream, trailers: FlatHeaders): void {
    if (stream.declaredLength !== undefined && stream.declaredLength !== stream.receivedBytes && stream.isPresent) {
      this.#streamFault(stream, PROTOCOL_ERROR, 'less DATA than content-length says (RFC 9113 §8.1.1)');
      return;
    }
    stream.isRemoteEnded = true;
    stream.finish(trailers);
    stream.owner?.onRemoteEnd();
    if (stream.isLocalEnded) this.#close(stream);
  }

  // ---- FrameHandler: the other frames

  onFrame(type: number, flags: number, id: number, bytes: Buffer, start: number, end: number): void {
    switch (type) {
      case PRIORITY:
        this.#readPriority(id, bytes, start, end);
        break;
      case RST_STREAM:
        this.#readReset(id, bytes, start, end);
        break;
      case SETTINGS:
        this.#readSettings(flags, id, bytes, start, end);
        break;
      case PING:
        this.#readPing(flags, id, bytes, start, end);
        break;
      case GOAWAY:
        this.#readGoaway(id, bytes, start, end);
        break;
      case WINDOW_UPDATE:
        this.#readWindowUpdate(id, bytes, start, end);
        break;
      case PUSH_PROMISE:
        throw new Http2Error(PROTOCOL_ERROR, 'PUSH_PROMISE where push is not allowed (RFC 9113 §8.4)');
      default:
        this.#guard.note('ignored', this.#now); // RFC 9113 §5.5
    }
  }

  #readPriority(id: number, bytes: Buffer, start: number, end: number): void {
    if (id === 0) throw new Http2Error(PROTOCOL_ERROR, 'PRIORITY on stream 0 (RFC 9113 §6.3)');
    this.#guard.note('ignored', this.#now);
    if (end - start !== 5) this.#priorityFault(id, FRAME_SIZE_ERROR, 'PRIORITY of another length than 5');
    else if ((bytes.readUInt32BE(start) & MAX_STREAM_ID) === id)
      this.#priorityFault(id, PROTOCOL_ERROR, 'a stream that depends on itself (RFC 7540 §5.3.1)');
  }

  /** A fault of the stream, as far as there is one: RST_STREAM may not be sent on an idle one (RFC 9113 §6.4). */
  #priorityFault(id: number, code: number, reason: string): void {
    const stream = this.streams.get(id);
    if (stream !== undefined) this.#streamFault(stream, code, reason);
    else if (this.#isIdle(id)) throw new Http2Error(code, `${reason}, on idle stream ${id}`);
  }

  #readReset(id: number, bytes: Buffer, start: number, end: number): void {
    if (end - start !== 4)
      throw new Http2Error(FRAME_SIZE_ERROR, 'RST_STREAM of another length than 4 (RFC 9113 §6.4)');
    if (id === 0 || this.#isIdle(id))
      throw new Http2Error(PROTOCOL_ERROR, 'RST_STREAM on an idle stream (RFC 9113 §6.4)');
    const code = bytes.readUInt32BE(start);
    const stream = this.streams.get(id);
    if (stream === undefined) {
      this.#guard.note('ignored', this.#now);
      return;
    }
    if (this.isServer) this.#guard.note('reset', this.#now);
    this.#drop(stream, code, `the other side reset the stream: ${errorName(code)}`);
  }

  #readSettings(flags: number, id: number, bytes: Buffer, start: number, end: number): void {
    if (id !== 0) throw new Http2Error(PROTOCOL_ERROR, 'SETTINGS on a stream (RFC 9113 §6.5)');
    if ((flags & ACK) !== 0) {
      if (end !== start) throw new Http2Error(FRAME_SIZE_ERROR, 'SETTINGS ACK with a payload (RFC 9113 §6.5)');
      if (!this.isUnacknowledged) this.#guard.note('ignored', this.#now);
      this.isUnacknowledged = false;
      return;
    }
    this.#guard.note('settings', this.#now);
    const before = this.peer.initialWindowBytes;
    const streamsBefore = this.peer.maxConcurrentStreams;
    readSettings(bytes, start, end, this.peer);
    this.#writer.setMaxTableBytes(this.peer.headerTableBytes);
    this.#writer.frame(SETTINGS, ACK, 0, EMPTY);
    const delta = this.peer.initialWindowBytes - before;
    if (delta !== 0) {
      const streams = this.streams.all();
      for (const stream of streams) {
        stream.sendWindow += delta;
        if (stream.sendWindow > MAX_WINDOW_BYTES)
          throw new Http2Error(FLOW_CONTROL_ERROR, 'INITIAL_WINDOW_SIZE overflows a window (RFC 9113 §6.9.2)');
      }
      if (delta > 0) this.#queue.pumpStreams(streams);
    }
    if (this.isReady && this.peer.maxConcurrentStreams <= streamsBefore) return;
    this.isReady = true;
    this.#events.onReady();
  }

  #readPing(flags: number, id: number, bytes: Buffer, start: number, end: number): void {
    if (id !== 0) throw new Http2Error(PROTOCOL_ERROR, 'PING on a stream (RFC 9113 §6.7)');
    if (end - start !== 8) throw new Http2Error(FRAME_SIZE_ERROR, 'PING of another length than 8 (RFC 9113 §6.7)');
    if ((flags & ACK) !== 0) {
      this.#guard.note('ignored', this.#now);
      this.#events.onPingAcknowledged();
      return;
    }
    this.#forgiveSent();
    this.#guard.note('ping', this.#now);
    this.#writer.frame(PING, ACK, 0, bytes.subarray(start, end));
  }

  #readWindowUpdate(id: number, bytes: Buffer, start: number, end: number): void {
    if (end - start !== 4)
      throw new Http2Error(FRAME_SIZE_ERROR, 'WINDOW_UPDATE of another length than 4 (RFC 9113 §6.9)');
    if (id !== 0 && this.#isIdle(id))
      throw new Http2Error(PROTOCOL_ERROR, 'WINDOW_UPDATE on an idle stream (RFC 9113 §5.1)');
    this.#forgiveSent();
    this.#guard.note('windowUpdate', this.#now);
    const increment = bytes.readUInt32BE(start) & MAX_STREAM_ID;
    if (id === 0) {
      if (increment === 0) throw new Http2Error(PROTOCOL_ERROR, 'WINDOW_UPDATE of 0 (RFC 9113 §6.9)');
      this.#queue.window += increment;
      if (this.#queue.window > MAX_WINDOW_BYTES)
        throw new Http2Error(FLOW_CONTROL_ERROR, 'the window of the connection overflows (RFC 9113 §6.9.1)');
      this.#queue.pump();
      return;
    }
    const stream = this.streams.get(id);
    if (stream === undefined) return;
    stream.sendWindow += increment;
    if (increment === 0) this.#streamFault(stream, PROTOCOL_ERROR, 'WINDOW_UPDATE of 0 (RFC 9113 §6.9)');
    else if (stream.sendWindow > MAX_WINDOW_BYTES)
      this.#streamFault(stream, FLOW_CONTROL_ERROR, 'the window of the stream overflows (RFC 9113 §6.9.1)');
    else this.#queue.pumpStream(stream);
  }

  #readGoaway(id: number, bytes: Buffer, start: number, end: number): void {
    if (id !== 0) throw new Http2Error(PROTOCOL_ERROR, 'GOAWAY on a stream (RFC 9113 §6.8)');
    if (end - start < 8) throw new Http2Error(FRAME_SIZE_ERROR, 'GOAWAY of less than 8 bytes (RFC 9113 §6.8)');
    const lastStreamId = bytes.readUInt32BE(start) & MAX_STREAM_ID;
    this.isGoingAway = true;
    if (!this.isServer) {
      for (const stream of this.streams.all()) {
        if (stream.id > lastStreamId)
          this.#drop(stream, REFUSED_STREAM, 'the other side went away before it read the request');
      }
    }
    this.#events.onGoaway(lastStreamId, bytes.readUInt32BE(start + 4));
  }

  // ---- states

  #isIdle(id: number): boolean {
    const isOurs = (id & 1) === (this.isServer ? 0 : 1);
    return isOurs ? id >= this.#nextStreamId : id > this.#lastPeerStreamId;
  }

  /** A frame on a stream that is no more: under way when we reset it, or a fault. */
  #checkClosed(id: number, what: 'DATA' | 'HEADERS'): void {
    if (this.#isIdle(id)) throw new Http2Error(PROTOCOL_ERROR, `${what} on idle stream ${id} (RFC 9113 §5.1)`);
    if (this.#resets.has(id)) {
      if (what === 'HEADERS') this.#guard.note('ignored', this.#now); // DATA has the windows to limit it
      return;
    }
    throw new Http2Error(STREAM_CLOSED, `${what} on closed stream ${id} (RFC 9113 §5.1)`);
  }

  /** The peer broke a rule of this stream: it is reset, and that counts against the peer. */
  #streamFault(stream: Http2Stream, code: number, reason: string): void {
    this.#guard.note('reset', this.#now);
    if (this.isServer && stream.owner === undefined) this.#events.onMalformed(reason);
    this.#reset(stream.id, code);
    this.#drop(stream, code, `${errorName(code)}: ${reason}`, true);
  }

  /** Ends a stream before its time, without a word to the peer. `isFault`: the peer's, of this stream. */
  #drop(stream: Http2Stream, code: number | undefined, reason: string, isFault = false): void {
    if (stream.isReset) return;
    stream.isReset = true;
    const { owner } = stream;
    this.#close(stream);
    owner?.onReset(code, reason, isFault);
    // an answer that has come whole stays whole; a request that cannot be answered has no purpose
    if (this.isServer || !stream.isRemoteEnded) stream.fail(new Error(reason));
  }

  #close(stream: Http2Stream): void {
    this.#queue.forget(stream);
    if (this.streams.delete(stream)) this.#events.onStreamClosed();
  }

  /** DATA that we sent is answered with window updates, and by some with pings: these are no flood. */
  #forgiveSent(): void {
    const forgiven = this.#queue.takeForgiven();
    if (forgiven > 0) this.#guard.forgive(forgiven);
  }

  #reset(id: number, code: number): void {
    this.#resets.remember(id);
    this.#writer.reset(id, code);
  }

  #fatal(error: Http2Error): void {
    if (this.isFatal) return;
    this.goaway(error.code);
    this.isFatal = true;
    this.#events.onFatal(error);
  }

  /** The connection is lost, or ends now: every stream with it. */
  abandon(reason: string): void {
    this.#reader.stop();
    this.isFatal = true;
    this.isGoingAway = true;
    for (const stream of this.streams.all()) this.#drop(stream, undefined, reason);
  }

  // ---- what its streams and its connection ask for

  /** Resets a stream of ours or of the peer's. */
  reset(stream: Http2Stream, code: number): void {
    if (stream.isReset || !this.streams.has(stream.id)) return;
    stream.isReset = true;
    this.#reset(stream.id, code);
    this.#close(stream);
    if (this.isServer || !stream.isRemoteEnded) stream.discard('the stream was given up');
  }

  /** Its reader wants no more of it. */
  unwanted(stream: Http2Stream): void {
    // a server answers all the same; a client's request has no purpose any more
    if (!this.isServer) this.reset(stream, CANCEL);
  }

  /** The stream may be sent `bytes` more; false: too little to tell yet. */
  creditStream(stream: Http2Stream, bytes: number): boolean {
    if (bytes < STREAM_WINDOW_BYTES / 2 || stream.isRemoteEnded || stream.isReset) return false;
    stream.receiveWindow += bytes;
    this.#writer.windowUpdate(stream.id, bytes);
    return true;
  }

  /** Opens a stream with a request. `isEnd`: it has no body. The caller has looked at `room`. */
  request(head: RequestHead, isUpgrade: boolean, isEnd: boolean): Http2Stream {
    const stream = new Http2Stream(this, this.#nextStreamId, this.peer.initialWindowBytes, STREAM_WINDOW_BYTES);
    this.#nextStreamId += 2;
    this.streams.add(stream);
    const { headers } = head;
    const host = this.isCased ? -1 : hostIndex(headers);
    const method = isUpgrade ? 'CONNECT' : head.method;
    const authority = host === -1 ? '' : (headers[host + 1] ?? '');
    const writer = this.#writer;
    writer.beginBlock(FrameWriter.boundOf(headers) + head.target.length + authority.length + REQUEST_LINE_BYTES);
    writer.field(':method', method);
    if (isUpgrade) writer.field(':protocol', 'websocket');
    writer.field(':scheme', this.#scheme);
    // between Lateral sidecars Host stays where and how it was written
    if (host !== -1) writer.field(':authority', authority);
    writer.field(':path', head.target);
    writer.fields(headers, host, this.isCased);
    writer.endBlock(stream, isEnd);
    if (isEnd) stream.isLocalEnded = true;
    return stream;
  }

  /** The size of a request's header list by RFC 9113's measure, for comparison with the peer's limit. */
  exceedsPeerLimit(head: RequestHead): boolean {
    const limit = this.peer.maxHeaderListBytes;
    if (limit === Number.POSITIVE_INFINITY) return false;
    let size = head.target.length + head.method.length + REQUEST_LINE_BYTES;
    for (let index = 0; index < head.headers.length; index += 2)
      size += (head.headers[index] ?? '').length + (head.headers[index + 1] ?? '').length + 32;
    return size > limit;
  }

  /** Sends the head of a response, interim ones included. */
  respond(stream: Http2Stream, head: ResponseHead): void {
    if (stream.isReset || stream.isLocalEnded) return;
    const writer = this.#writer;
    writer.beginBlock(FrameWriter.boundOf(head.headers) + STATUS_BYTES);
    writer.field(':status', String(head.status));
    writer.fields(head.headers, -1, this.isCased);
    stream.hasFinalHead = head.status >= 200;
    writer.endBlock(stream, false);
    if (writer.output.length > MUCH_OUTPUT_BYTES) this.#events.onMuchOutput();
  }

  /** Sends a piece of a body; true: more is welcome. */
  writeData(stream: Http2Stream, chunk: Buffer): boolean {
    if (!this.#queue.isOverflowing) return this.#queue.write(stream, chunk);
    this.#reset(stream.id, ENHANCE_YOUR_CALM);
    const limit = `maxQueuedBytesPerConnection ${MAX_QUEUED_BYTES_PER_CONNECTION}`;
    this.#drop(stream, ENHANCE_YOUR_CALM, `the other side reads too slowly: more than ${limit} wait for it`);
    return true;
  }

  /** Ends our half of a stream, after what is queued. */
  endStream(stream: Http2Stream, trailers: FlatHeaders): void {
    if (stream.queuedBytes > 0) {
      stream.pendingTrailers = trailers;
      return;
    }
    const writer = this.#writer;
    if (trailers.length === 0) writer.endStream(stream);
    else {
      writer.beginBlock(FrameWriter.boundOf(trailers));
      writer.fields(trailers, -1, this.isCased);
      writer.endBlock(stream, true);
    }
    stream.isLocalEnded = true;
    this.#queue.forget(stream);
    if (stream.isRemoteEnded) {
      this.#guard.forgive(COMPLETION_FORGIVES);
      this.#close(stream);
      if (this.isServer) stream.discard('the answer is whole');
    } else if (this.isServer && !stream.isTunnel) {
      this.#reset(stream.id, NO_ERROR); // RFC 9113 §8.1: the answer is whole, the rest of the request is not wanted
      stream.isReset = true;
      this.#close(stream);
      stream.discard('the answer is whole');
    }
  }

  /** Goes on with what waits, when the transport has room or has none any more. */
  setCongested(isCongested: boolean): void {
    this.#queue.isCongested = isCongested;
    if (!isCongested) this.#queue.pump();
  }

  ping(): void {
    this.#writer.ping();
  }

  /** Tells the peer that no further streams are wanted; streams up to the last one seen go on. */
  goaway(code: number): void {
    this.#acceptUpTo = this.#lastPeerStreamId;
    this.#writer.goaway(this.#lastPeerStreamId, code);
    this.isGoingAway = true;
  }

  /** The first of two steps (RFC 9113 §6.8): streams that are under way are still served. */
  announceGoaway(): void {
    this.#writer.goaway(MAX_STREAM_ID, NO_ERROR);
  }
}

function asHttp2Error(error: unknown): Http2Error {
  if (error instanceof Http2Error) return error;
  if (error instanceof CompressionError) return new Http2Error(COMPRESSION_ERROR, error.message);
  return new Http2Error(INTERNAL_ERROR, error instanceof Error ? (error.stack ?? error.message) : String(error));
}

function hostIndex(headers: FlatHeaders): number {
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index] ?? '';
    if (name.length === 4 && (name === 'host' || name.toLowerCase() === 'host')) return index;
  }
  return -1;
}
