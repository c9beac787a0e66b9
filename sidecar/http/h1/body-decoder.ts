/** Takes a decoded body. */
export interface BodySink {
  onChunk(chunk: Buffer): void;
  onEnd(trailers: readonly string[]): void;
}

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
