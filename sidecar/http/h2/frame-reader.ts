import type { FloodGuard } from './flood-guard.ts';
import {
  ACK,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  ENHANCE_YOUR_CALM,
  FRAME_HEADER_BYTES,
  FRAME_SIZE_ERROR,
  HAS_PRIORITY,
  HEADERS,
  MAX_FRAME_BYTES,
  PADDED,
  PREFACE,
  PROTOCOL_ERROR,
  SETTINGS,
} from './frame.ts';
import { Http2Error } from './http2-error.ts';

/** A header block as it travels, all its frames together: beyond it the connection ends (CONTINUATION flood). */
const MAX_HEADER_BLOCK_BYTES = 131_072;
const STREAM_ID_MASK = 0x7fff_ffff;
const PRIORITY_BYTES = 5;

/** What the frames of the other side amount to. Methods may throw Http2Error. */
export interface FrameHandler {
  /** A DATA frame begins. `flowBytes`: what it takes of the windows; `size`: of these, what is body. */
  onDataBegin(id: number, flowBytes: number, size: number, isEnd: boolean): void;
  onData(chunk: Buffer): void;
  /** Padding, and its length field, that has come. */
  onPadding(size: number): void;
  onDataEnd(isEnd: boolean): void;
  /** A whole header block, still encoded. */
  onHeaderBlock(id: number, isEnd: boolean, bytes: Buffer, start: number, end: number): void;
  /** Any other frame, with its whole payload. */
  onFrame(type: number, flags: number, id: number, bytes: Buffer, start: number, end: number): void;
}

/** Frames from bytes (RFC 9113 §4), however they are cut. DATA is handed on as it comes; other frames when they are whole. */
export class FrameReader {
  readonly #handler: FrameHandler;
  readonly #guard: FloodGuard;
  #prefaceLeft: number;
  #hasSettings = false;
  #partial: Buffer | undefined;
  #isInData = false;
  #dataLeft = 0;
  #paddingLeft = 0;
  #dataEnds = false;
  /** A header block whose END_HEADERS is still to come; stream 0: none. */
  #block: Buffer[] = [];
  #blockBytes = 0;
  #blockStreamId = 0;
  #blockEnds = false;
  #headSince: number | undefined = 0;
  #isStopped = false;

  constructor(isServer: boolean, handler: FrameHandler, guard: FloodGuard) {
    this.#handler = handler;
    this.#guard = guard;
    this.#prefaceLeft = isServer ? PREFACE.length : 0;
  }

  /**
   * Monotonic ms: since when something is not whole that the other side must go on with in time: the preface with its
   * SETTINGS, a header block, or a frame other than DATA; undefined: nothing. 0: since the beginning.
   */
  get headSince(): number | undefined {
    return this.#headSince;
  }

  /** The connection is over: what is left of the bytes at hand is not read. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Reads what has come. Throws Http2Error; nothing more is to be read then. `now`: monotonic ms. */
  push(input: Buffer, now: number): void {
    let at = this.#prefaceLeft > 0 ? this.#readPreface(input) : 0;
    let bytes = input;
    if (this.#partial !== undefined) {
      bytes = Buffer.concat([this.#partial, input]);
      this.#partial = undefined;
      at = 0;
    }
    const end = bytes.length;
    while (at < end && !this.#isStopped) {
      const next = this.#isInData ? this.#readData(bytes, at) : this.#readFrame(bytes, at, now);
      if (next === at) break; // more is needed
      at = next;
    }
    if (at < end) this.#partial = Buffer.from(bytes.subarray(at)); // a copy, so that the read it came in can go
    if (this.#partial !== undefined || this.#blockStreamId !== 0) this.#headSince ??= now;
  }

  #readPreface(input: Buffer): number {
    const done = PREFACE.length - this.#prefaceLeft;
    const size = Math.min(this.#prefaceLeft, input.length);
    if (PREFACE.compare(input, 0, size, done, done + size) !== 0)
      throw new Http2Error(PROTOCOL_ERROR, 'no HTTP/2 connection preface (RFC 9113 §3.4)');
    this.#prefaceLeft -= size;
    return size;
  }

  /** Returns where the next frame begins, or `at` while this one is not whole. */
  #readFrame(bytes: Buffer, at: number, now: number): number {
    const available = bytes.length - at - FRAME_HEADER_BYTES;
    if (available < 0) return at;
    const length = ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
    const type = bytes[at + 3] ?? 0;
    const flags = bytes[at + 4] ?? 0;
    const id = bytes.readUInt32BE(at + 5) & STREAM_ID_MASK;
    if (length > MAX_FRAME_BYTES)
      throw new Http2Error(FRAME_SIZE_ERROR, `a frame of ${length} bytes exceeds maxFrameBytes ${MAX_FRAME_BYTES}`);
    if (!this.#hasSettings) {
      if (type !== SETTINGS || (flags & ACK) !== 0)
        throw new Http2Error(PROTOCOL_ERROR, 'the first frame is not SETTINGS (RFC 9113 §3.4)');
    }
    if (this.#blockStreamId !== 0 && (type !== CONTINUATION || id !== this.#blockStreamId))
      throw new Http2Error(PROTOCOL_ERROR, 'another frame within a header block (RFC 9113 §6.10)');
    const start = at + FRAME_HEADER_BYTES;
    if (type === DATA) return this.#beginData(flags, id, length, bytes, at);
    if (available < length) return at;
    const end = start + length;
    if (type === HEADERS) this.#readHeaders(flags, id, bytes, start, end);
    else if (type === CONTINUATION) this.#readContinuation(flags, id, bytes, start, end, now);
    else this.#handler.onFrame(type, flags, id, bytes, start, end);
    this.#hasSettings = true;
    if (this.#blockStreamId === 0) this.#headSince = undefined;
    return end;
  }

  #beginData(flags: number, id: number, length: number, bytes: Buffer, at: number): number {
    if (id === 0) throw new Http2Error(PROTOCOL_ERROR, 'DATA on stream 0 (RFC 9113 §6.1)');
    let start = at + FRAME_HEADER_BYTES;
    let padding = 0;
    let size = length;
    if ((flags & PADDED) !== 0) {
      if (length === 0) throw new Http2Error(FRAME_SIZE_ERROR, 'PADDED without a length of it (RFC 9113 §6.1)');
      if (start >= bytes.length) return at;
      padding = bytes[start] ?? 0;
      start++;
      if (padding >= length) throw new Http2Error(PROTOCOL_ERROR, 'padding as long as the frame (RFC 9113 §6.1)');
      size = length - 1 - padding;
    }
    this.#dataLeft = size;
    this.#paddingLeft = padding;
    this.#dataEnds = (flags & END_STREAM) !== 0;
    this.#headSince = undefined;
    this.#handler.onDataBegin(id, length, size, this.#dataEnds);
    if (length > size) this.#handler.onPadding(1);
    this.#isInData = true;
    if (size === 0 && padding === 0) this.#endData();
    return start;
  }

  #readData(bytes: Buffer, offset: number): number {
    let at = offset;
    if (this.#dataLeft > 0) {
      const size = Math.min(this.#dataLeft, bytes.length - at);
      this.#dataLeft -= size;
      this.#handler.onData(bytes.subarray(at, at + size));
      at += size;
    }
    if (this.#dataLeft === 0) {
      const size = Math.min(this.#paddingLeft, bytes.length - at);
      this.#paddingLeft -= size;
      if (size > 0) this.#handler.onPadding(size);
      at += size;
      if (this.#paddingLeft === 0) this.#endData();
    }
    return at;
  }

  #endData(): void {
    this.#isInData = false;
    this.#handler.onDataEnd(this.#dataEnds);
  }

  #readHeaders(flags: number, id: number, bytes: Buffer, payload: number, payloadEnd: number): void {
    if (id === 0) throw new Http2Error(PROTOCOL_ERROR, 'HEADERS on stream 0 (RFC 9113 §6.2)');
    let start = payload;
    let end = payloadEnd;
    if ((flags & PADDED) !== 0) {
      end -= bytes[start] ?? 0;
      start++;
      if (end < start) throw new Http2Error(PROTOCOL_ERROR, 'padding longer than the frame (RFC 9113 §6.2)');
    }
    if ((flags & HAS_PRIORITY) !== 0) {
      if (end - start < PRIORITY_BYTES)
        throw new Http2Error(FRAME_SIZE_ERROR, 'HEADERS too short for its priority (RFC 9113 §6.2)');
      const dependsOn = bytes.readUInt32BE(start) & STREAM_ID_MASK;
      start += PRIORITY_BYTES;
      // RFC 7540 §5.3.1: deprecated, and still tested for
      if (dependsOn === id) throw new Http2Error(PROTOCOL_ERROR, 'a stream that depends on itself (RFC 7540 §5.3.1)');
    }
    const isEnd = (flags & END_STREAM) !== 0;
    if ((flags & END_HEADERS) !== 0) {
      this.#handler.onHeaderBlock(id, isEnd, bytes, start, end);
      return;
    }
    this.#blockStreamId = id;
    this.#blockEnds = isEnd;
    this.#blockBytes = end - start;
    this.#block = [Buffer.from(bytes.subarray(start, end))];
  }

  #readContinuation(flags: number, id: number, bytes: Buffer, start: number, end: number, now: number): void {
    if (this.#blockStreamId === 0)
      throw new Http2Error(PROTOCOL_ERROR, 'CONTINUATION without a header block (RFC 9113 §6.10)');
    this.#guard.note('continuation', now);
    this.#blockBytes += end - start;
    if (this.#blockBytes > MAX_HEADER_BLOCK_BYTES)
      throw new Http2Error(ENHANCE_YOUR_CALM, `a header block exceeds maxHeaderBlockBytes ${MAX_HEADER_BLOCK_BYTES}`);
    this.#block.push(Buffer.from(bytes.subarray(start, end)));
    if ((flags & END_HEADERS) === 0) return;
    const whole = Buffer.concat(this.#block);
    this.#block = [];
    this.#blockStreamId = 0;
    this.#handler.onHeaderBlock(id, this.#blockEnds, whole, 0, whole.length);
  }
}
