import type { FlatHeaders } from '#policy/http/flat-headers.ts';
import { nameRule } from '../name-rule.ts';
import { OutputBuffer } from '../output-buffer.ts';
import {
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  FRAME_HEADER_BYTES,
  GOAWAY,
  HEADERS,
  MAX_FRAME_BYTES,
  PING,
  RST_STREAM,
  WINDOW_UPDATE,
  writeFrameHeader,
} from './frame.ts';
import { HeaderEncoder } from './hpack/header-encoder.ts';
import type { Http2Stream } from './http2-stream.ts';

const PING_PAYLOAD = Buffer.from('lateral.', 'latin1');
const EMPTY = Buffer.alloc(0);

/** Frames as bytes (RFC 9113 §4), gathered in `output`. */
export class FrameWriter {
  readonly output = new OutputBuffer();
  readonly #encoder = new HeaderEncoder();
  readonly #onOutput: () => void;
  /** Where the header block that is being written ends. */
  #blockEnd = 0;

  /** `onOutput` is called at every frame. */
  constructor(onOutput: () => void) {
    this.#onOutput = onOutput;
  }

  setMaxTableBytes(bytes: number): void {
    this.#encoder.setMaxTableBytes(bytes);
  }

  /** Room that fields take at most, in a header block. */
  static boundOf(fields: FlatHeaders): number {
    let bound = 0;
    for (let index = 0; index < fields.length; index += 2)
      bound += HeaderEncoder.maxFieldBytes(fields[index] ?? '', fields[index + 1] ?? '');
    return bound;
  }

  /** Begins a header block; then `field` and `fields`, then `endBlock`. Nothing else is written between. */
  beginBlock(bound: number): void {
    const { output } = this;
    output.reserve(FRAME_HEADER_BYTES + HeaderEncoder.MAX_BEGIN_BYTES + bound);
    this.#blockEnd = this.#encoder.begin(output.bytes, output.end + FRAME_HEADER_BYTES);
  }

  field(name: string, value: string): void {
    this.#blockEnd = this.#encoder.field(name, value, this.output.bytes, this.#blockEnd);
  }

  /** All fields that travel in HTTP/2, but for the one at `without`; `isCased`: with the case of their names. */
  fields(headers: FlatHeaders, without: number, isCased: boolean): void {
    for (let index = 0; index < headers.length; index += 2) {
      if (index === without) continue;
      const name = headers[index] ?? '';
      const rule = nameRule(name);
      if (!rule.isConnectionSpecific) this.field(isCased ? name : rule.lower, headers[index + 1] ?? '');
    }
  }

  endBlock(stream: Http2Stream, isEnd: boolean): void {
    const { output } = this;
    const start = output.end + FRAME_HEADER_BYTES;
    const length = this.#blockEnd - start;
    const flags = isEnd ? END_STREAM : 0;
    if (length > MAX_FRAME_BYTES) {
      this.#splitBlock(stream.id, flags, Buffer.from(output.bytes.subarray(start, this.#blockEnd)));
      stream.lastGeneration = -1;
      return;
    }
    writeFrameHeader(output.bytes, output.end, length, HEADERS, flags | END_HEADERS, stream.id);
    this.#wrote(stream, output.end, FRAME_HEADER_BYTES + length);
  }

  #splitBlock(id: number, flags: number, block: Buffer): void {
    for (let at = 0; at < block.length; at += MAX_FRAME_BYTES) {
      const isLast = at + MAX_FRAME_BYTES >= block.length;
      const type = at === 0 ? HEADERS : CONTINUATION;
      const piece = block.subarray(at, at + MAX_FRAME_BYTES);
      this.frame(type, (at === 0 ? flags : 0) | (isLast ? END_HEADERS : 0), id, piece);
    }
  }

  /** The first `size` bytes of `chunk` as DATA. */
  data(stream: Http2Stream, chunk: Buffer, size: number): void {
    const { output } = this;
    for (let at = 0; at < size; at += MAX_FRAME_BYTES) {
      const length = Math.min(size - at, MAX_FRAME_BYTES);
      output.reserve(FRAME_HEADER_BYTES + length);
      const { bytes, end } = output;
      writeFrameHeader(bytes, end, length, DATA, 0, stream.id);
      chunk.copy(bytes, end + FRAME_HEADER_BYTES, at, at + length);
      this.#wrote(stream, end, FRAME_HEADER_BYTES + length);
    }
  }

  /** END_STREAM: on the last frame of the stream where that has not left, else on an empty one. */
  endStream(stream: Http2Stream): void {
    const { bytes, generation } = this.output;
    const flagsAt = stream.lastFrameAt + 4;
    if (stream.lastGeneration === generation) bytes[flagsAt] = (bytes[flagsAt] ?? 0) | END_STREAM;
    else this.frame(DATA, END_STREAM, stream.id, EMPTY);
    stream.lastGeneration = -1;
  }

  reset(id: number, code: number): void {
    this.frame(RST_STREAM, 0, id, fourBytes(code));
  }

  windowUpdate(id: number, increment: number): void {
    this.frame(WINDOW_UPDATE, 0, id, fourBytes(increment));
  }

  ping(): void {
    this.frame(PING, 0, 0, PING_PAYLOAD);
  }

  /** Says the code and no more: why is for the operator on this side. */
  goaway(lastStreamId: number, code: number): void {
    const payload = Buffer.alloc(8);
    payload.writeUInt32BE(lastStreamId, 0);
    payload.writeUInt32BE(code, 4);
    this.frame(GOAWAY, 0, 0, payload);
  }

  frame(type: number, flags: number, id: number, payload: Buffer): void {
    const { output } = this;
    output.reserve(FRAME_HEADER_BYTES + payload.length);
    writeFrameHeader(output.bytes, output.end, payload.length, type, flags, id);
    payload.copy(output.bytes, output.end + FRAME_HEADER_BYTES);
    output.end += FRAME_HEADER_BYTES + payload.length;
    this.#onOutput();
  }

  /** Bytes that are no frame: the connection preface. */
  raw(bytes: Buffer): void {
    this.output.reserve(bytes.length);
    bytes.copy(this.output.bytes, this.output.end);
    this.output.end += bytes.length;
  }

  #wrote(stream: Http2Stream, frameAt: number, size: number): void {
    const { output } = this;
    stream.lastFrameAt = frameAt;
    stream.lastGeneration = output.generation;
    output.end = frameAt + size;
    this.#onOutput();
  }
}

function fourBytes(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
