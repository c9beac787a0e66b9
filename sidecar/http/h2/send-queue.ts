import type { FlatHeaders } from '#policy/http/flat-headers.ts';
import { MAX_FRAME_BYTES } from './frame.ts';
import type { FrameWriter } from './frame-writer.ts';
import type { Http2Stream } from './http2-stream.ts';
import type { MemoryBudget } from './memory-budget.ts';
import { DEFAULT_WINDOW_BYTES } from './settings.ts';
import { TurnOrder } from './turn-order.ts';

/** Waiting output up to which DATA is framed; beyond it bodies wait in their streams. */
const OUTPUT_HIGH_WATER_BYTES = 262_144;
/** A stream is told to wait when this much of its own is queued, as long as the connection has little queued. */
export const MAX_QUEUED_BYTES_PER_STREAM = 65_536;
/** Queued on a connection, all streams together; beyond it each stream waits at its first piece. */
export const AMPLE_QUEUED_BYTES = 4_194_304;
/** The same; beyond it, when memory is short, a stream that would queue more is ended: its reader is too slow. */
export const MAX_QUEUED_BYTES_PER_CONNECTION = 33_554_432;
/**
 * Flood allowance that DATA earns, by frame and by bytes: it is answered with window updates, by some each time that 4 KiB
 * of it were read, and by some with pings.
 */
const FRAME_FORGIVES = 8;
const BYTES_FORGIVING_ONE = 512;

/** DATA on its way out: what the windows allow is framed, the rest waits and leaves in turns of one frame a stream. */
export class SendQueue {
  /** The transport has more than it can send. */
  isCongested = false;
  /** What may still be sent on the connection. */
  window = DEFAULT_WINDOW_BYTES;
  /** Bytes that wait in streams. */
  queuedBytes = 0;
  #forgiven = 0;
  readonly #writer: FrameWriter;
  readonly #budget: MemoryBudget;
  /** Sends what ends a stream, once its queue is empty. */
  readonly #end: (stream: Http2Stream, trailers: FlatHeaders) => void;
  /**
   * Streams that wait for room or for the connection's window, in the order of their turns. One that waits for its own
   * window is not among them: it costs nothing until that opens.
   */
  readonly #blocked = new TurnOrder();

  constructor(writer: FrameWriter, budget: MemoryBudget, end: (stream: Http2Stream, trailers: FlatHeaders) => void) {
    this.#writer = writer;
    this.#budget = budget;
    this.#end = end;
  }

  get isFull(): boolean {
    return this.isCongested || this.#writer.output.length >= OUTPUT_HIGH_WATER_BYTES;
  }

  /** True when so much waits that nobody should be held back for less: its peer reads too slowly. */
  get isOverflowing(): boolean {
    return this.queuedBytes > MAX_QUEUED_BYTES_PER_CONNECTION && this.#budget.isExhausted;
  }

  /** Frames what may be sent of a chunk and queues the rest; true: more is welcome. */
  write(stream: Http2Stream, chunk: Buffer): boolean {
    let size = 0;
    if (stream.queuedBytes === 0 && !this.isFull) {
      size = Math.max(0, Math.min(chunk.length, stream.sendWindow, this.window));
      this.#send(stream, chunk, size);
    }
    if (size === chunk.length && !this.isFull) return true;
    if (size < chunk.length) {
      stream.queue.push(Buffer.from(chunk.subarray(size)));
      this.#count(stream, chunk.length - size);
    }
    if (stream.queuedBytes === 0 || stream.sendWindow > 0) this.#blocked.add(stream); // to be told when there is room
    return stream.queuedBytes < MAX_QUEUED_BYTES_PER_STREAM && this.#hasAmpleRoom;
  }

  get #hasAmpleRoom(): boolean {
    return this.queuedBytes < AMPLE_QUEUED_BYTES && !this.#budget.isExhausted;
  }

  /** Goes on with what waits, a frame a stream in turn. */
  pump(): void {
    for (;;) {
      const stream = this.#blocked.first;
      if (stream === undefined || this.isFull || (this.window <= 0 && stream.queuedBytes > 0)) return;
      this.#blocked.delete(stream);
      if (stream.queuedBytes > 0 && !this.#sendNext(stream)) continue; // it waits for its own window now
      if (stream.queuedBytes === 0) this.#unblock(stream);
      else this.#blocked.add(stream); // behind the others; this loop comes to it again
    }
  }

  /** The window of one stream has opened. */
  pumpStream(stream: Http2Stream): void {
    if (stream.queuedBytes === 0 || stream.sendWindow <= 0) return;
    if (this.#blocked.size > 0) {
      this.#blocked.add(stream); // others wait before it
      this.pump();
      return;
    }
    while (stream.queuedBytes > 0 && !this.isFull && this.#sendNext(stream));
    if (stream.queuedBytes === 0) this.#unblock(stream);
    else if (stream.sendWindow > 0) this.#blocked.add(stream);
  }

  /** The windows of these streams may have opened. */
  pumpStreams(streams: Iterable<Http2Stream>): void {
    for (const stream of streams) if (stream.queuedBytes > 0 && stream.sendWindow > 0) this.#blocked.add(stream);
    this.pump();
  }

  /** Nothing more is sent of a stream that has ended. */
  forget(stream: Http2Stream): void {
    stream.queue = [];
    this.#count(stream, -stream.queuedBytes);
    this.#blocked.delete(stream);
  }

  /** What the other side's window updates and pings may cost, for the DATA that was sent since the last call. */
  takeForgiven(): number {
    const forgiven = this.#forgiven;
    this.#forgiven = 0;
    return forgiven;
  }

  #sendNext(stream: Http2Stream): boolean {
    const [chunk] = stream.queue;
    if (chunk === undefined) return false;
    const size = Math.min(chunk.length, MAX_FRAME_BYTES, stream.sendWindow, this.window);
    if (size <= 0) return false;
    this.#send(stream, chunk, size);
    this.#count(stream, -size);
    if (size === chunk.length) stream.queue.shift();
    else stream.queue[0] = chunk.subarray(size);
    return true;
  }

  #send(stream: Http2Stream, chunk: Buffer, size: number): void {
    if (size === 0) return;
    this.#writer.data(stream, chunk, size);
    stream.sendWindow -= size;
    this.window -= size;
    this.#forgiven += FRAME_FORGIVES * Math.ceil(size / MAX_FRAME_BYTES) + Math.floor(size / BYTES_FORGIVING_ONE);
  }

  #count(stream: Http2Stream, bytes: number): void {
    stream.queuedBytes += bytes;
    this.queuedBytes += bytes;
    this.#budget.usedBytes += bytes;
  }

  #unblock(stream: Http2Stream): void {
    const { pendingTrailers } = stream;
    if (pendingTrailers !== undefined) this.#end(stream, pendingTrailers);
    else stream.onDrain?.();
  }
}
