import { checkCharacters, readHeaderBlock } from './header-block.ts';
import { ProtocolError } from './protocol-error.ts';

/** Takes a decoded body. */
export interface BodySink {
  onChunk(chunk: Buffer): void;
  onEnd(trailers: readonly string[]): void;
}

/** Longest chunk-size line, extensions included: RFC 9112 §7.1.1 lets a recipient bound them. */
export const MAX_CHUNK_LINE_BYTES = 256;
/** Longest trailer section. */
export const MAX_TRAILER_BYTES = 16_384;
/** Hex digits of a chunk size: more cannot be counted exactly. */
const MAX_CHUNK_SIZE_DIGITS = 12;
const CHUNK_LINE = /^([0-9A-Fa-f]{1,12})(?:;[\t\x20-\x7e\x80-\xff]*)?$/;
/** Fields that have no business after the body: framing, routing, and what was decided on already (RFC 9110 §6.5.1). */
const FORBIDDEN_TRAILERS =
  /^(?:content-length|transfer-encoding|host|trailer|te|connection|upgrade|authorization|content-encoding|content-type|content-range)$/i;

/** Takes the bytes of a body as they come; gives back how many of them were the body's. */
export interface BodyDecoder {
  /** Consumes `bytes` from `offset`; returns where it stopped. After `isDone` nothing more is consumed. */
  push(bytes: Buffer, offset: number): number;
  readonly isDone: boolean;
  /** The connection ended: true where that ends the body well. */
  endOfInput(): boolean;
}

/** A body of a declared length (RFC 9112 §6.2). */
export class LengthDecoder implements BodyDecoder {
  #left: number;
  readonly #sink: BodySink;
  isDone = false;

  constructor(length: number, sink: BodySink) {
    this.#left = length;
    this.#sink = sink;
  }

  push(bytes: Buffer, offset: number): number {
    const size = Math.min(this.#left, bytes.length - offset);
    if (size > 0) {
      this.#left -= size;
      this.#sink.onChunk(offset === 0 && size === bytes.length ? bytes : bytes.subarray(offset, offset + size));
    }
    if (this.#left === 0 && !this.isDone) {
      this.isDone = true;
      this.#sink.onEnd([]);
    }
    return offset + size;
  }

  endOfInput(): boolean {
    return this.isDone;
  }
}

/** A body that ends with the connection (RFC 9112 §6.3, responses only). */
export class CloseDecoder implements BodyDecoder {
  readonly #sink: BodySink;
  isDone = false;

  constructor(sink: BodySink) {
    this.#sink = sink;
  }

  push(bytes: Buffer, offset: number): number {
    if (offset < bytes.length) this.#sink.onChunk(offset === 0 ? bytes : bytes.subarray(offset));
    return bytes.length;
  }

  endOfInput(): boolean {
    this.isDone = true;
    this.#sink.onEnd([]);
    return true;
  }
}

type ChunkState = 'size' | 'data' | 'data-end' | 'trailers';

/** A chunked body (RFC 9112 §7.1), strict: no signs, no spaces, no bare line ends. */
export class ChunkedDecoder implements BodyDecoder {
  readonly #sink: BodySink;
  #state: ChunkState = 'size';
  #left = 0;
  /** A line that came in parts, latin1. */
  #line = '';
  isDone = false;

  constructor(sink: BodySink) {
    this.#sink = sink;
  }

  push(bytes: Buffer, offset: number): number {
    let at = offset;
    while (at < bytes.length && !this.isDone) {
      if (this.#state === 'data') at = this.#takeData(bytes, at);
      else at = this.#takeLine(bytes, at);
    }
    return at;
  }

  endOfInput(): boolean {
    return this.isDone;
  }

  #takeData(bytes: Buffer, at: number): number {
    const size = Math.min(this.#left, bytes.length - at);
    this.#left -= size;
    if (this.#left === 0) this.#state = 'data-end';
    this.#sink.onChunk(bytes.subarray(at, at + size));
    return at + size;
  }

  /** Collects up to the next LF, then reads what it completes. */
  #takeLine(bytes: Buffer, at: number): number {
    const lineFeed = bytes.indexOf(0x0a, at);
    const end = lineFeed === -1 ? bytes.length : lineFeed + 1;
    const limit = this.#state === 'trailers' ? MAX_TRAILER_BYTES : MAX_CHUNK_LINE_BYTES;
    if (this.#line.length + (end - at) > limit) {
      throw new ProtocolError(
        this.#state === 'trailers'
          ? `trailers exceed maxTrailerBytes ${limit}`
          : `a chunk line exceeds maxChunkLineBytes ${limit}`,
      );
    }
    this.#line += bytes.toString('latin1', at, end);
    if (lineFeed === -1) return end;
    if (!this.#line.endsWith('\r\n')) throw new ProtocolError('a bare LF in a chunked body (RFC 9112 §2.2)');
    if (this.#state === 'size') this.#readSize(this.#line.slice(0, -2));
    else if (this.#state === 'data-end') this.#readDataEnd();
    else this.#readTrailers();
    return end;
  }

  #readSize(line: string): void {
    const size = CHUNK_LINE.exec(line)?.[1];
    if (size === undefined) {
      throw new ProtocolError(
        `chunk size ${JSON.stringify(line.slice(0, 40))} is not up to ${MAX_CHUNK_SIZE_DIGITS} hex digits (RFC 9112 §7.1)`,
      );
    }
    this.#line = '';
    this.#left = Number.parseInt(size, 16);
    this.#state = this.#left === 0 ? 'trailers' : 'data';
  }

  #readDataEnd(): void {
    if (this.#line !== '\r\n') throw new ProtocolError('a chunk longer than its size says (RFC 9112 §7.1)');
    this.#line = '';
    this.#state = 'size';
  }

  #readTrailers(): void {
    if (this.#line !== '\r\n' && !this.#line.endsWith('\r\n\r\n')) return; // the empty line is still to come
    const text = this.#line.slice(0, -2);
    checkCharacters(text);
    const { headers } = readHeaderBlock(text, 0);
    for (let index = 0; index < headers.length; index += 2) {
      if (FORBIDDEN_TRAILERS.test(headers[index] ?? ''))
        throw new ProtocolError(`${headers[index]} in the trailers (RFC 9110 §6.5.1)`);
    }
    this.isDone = true;
    this.#sink.onEnd(headers);
  }
}
