import type { FlatHeaders } from '#policy/http/flat-headers.ts';
import { MAX_FRAME_BYTES } from './frame.ts';
import type { FrameWriter } from './frame-writer.ts';
import type { Http2Stream } from './http2-stream.ts';
import { DEFAULT_WINDOW_BYTES } from './settings.ts';

/** Waiting output up to which DATA is framed; beyond it bodies wait in their streams. */
const OUTPUT_HIGH_WATER_BYTES = 262_144;

/** DATA on its way out: what the windows allow is framed, the rest waits and leaves in turns of one frame a stream. */
export class SendQueue {
  /** The transport has more than it can send. */
  isCongested = false;
  /** What may still be sent on the connection. */
  window = DEFAULT_WINDOW_BYTES;
  /** DATA frames so far, about. */
  framesSent = 0;
  readonly #writer: FrameWriter;
  /** Sends what ends a stream, once its queue is empty. */
  readonly #end: (stream: Http2Stream, trailers: FlatHeaders) => void;
  /** Streams that wait, in the order of their turns. */
  readonly #blocked = new Set<Http2Stream>();

  constructor(writer: FrameWriter, end: (stream: Http2Stream, trailers: FlatHeaders) => void) {
    this.#writer = writer;
    this.#end = end;
  }

  get isFull(): boolean {
    return this.isCongested || this.#writer.output.length >= OUTPUT_HIGH_WATER_BYTES;
  }

  /** Frames what may be sent of a chunk and queues the rest; true: nothing is left over, and more is welcome. */
  write(stream: Http2Stream, chunk: Buffer): boolean {
    let size = 0;
    if (stream.queuedBytes === 0 && !this.isFull) {
      size = Math.max(0, Math.min(chunk.length, stream.sendWindow, this.window));
      this.#send(stream, chunk, size);
    }
    if (size === chunk.length && !this.isFull) return true;
    this.#blocked.add(stream); // to be told when there is room
    if (size === chunk.length) return false;
    stream.queue.push(size === 0 ? chunk : chunk.subarray(size));
    stream.queuedBytes += chunk.length - size;
    return false;
  }

  /** Goes on with what waits, a frame a stream in turn. */
  pump(): void {
    for (const stream of this.#blocked) {
      if (this.isFull) return;
      if (stream.queuedBytes > 0 && !this.#sendNext(stream)) continue;
      this.#blocked.delete(stream);
      if (stream.queuedBytes === 0) this.#unblock(stream);
      else this.#blocked.add(stream); // behind the others; this loop comes to it again
    }
  }

  /** The same for one stream, whose window has opened. */
  pumpStream(stream: Http2Stream): void {
    while (stream.queuedBytes > 0 && !this.isFull) if (!this.#sendNext(stream)) return;
    if (stream.queuedBytes > 0 || this.isFull || !this.#blocked.delete(stream)) return;
    this.#unblock(stream);
  }

  /** Nothing more is sent of a stream that has ended. */
  forget(stream: Http2Stream): void {
    stream.queue = [];
    stream.queuedBytes = 0;
    this.#blocked.delete(stream);
  }

  #sendNext(stream: Http2Stream): boolean {
    const [chunk] = stream.queue;
    if (chunk === undefined) return false;
    const size = Math.min(chunk.length, MAX_FRAME_BYTES, stream.sendWindow, this.window);
    if (size <= 0) return false;
    this.#send(stream, chunk, size);
    stream.queuedBytes -= size;
    if (size === chunk.length) stream.queue.shift();
    else stream.queue[0] = chunk.subarray(size);
    return true;
  }

  #send(stream: Http2Stream, chunk: Buffer, size: number): void {
    if (size === 0) return;
    this.#writer.data(stream, chunk, size);
    stream.sendWindow -= size;
    this.window -= size;
    this.framesSent++;
  }

  #unblock(stream: Http2Stream): void {
    const { pendingTrailers } = stream;
    if (pendingTrailers !== undefined) this.#end(stream, pendingTrailers);
    else stream.onDrain?.();
  }
}
