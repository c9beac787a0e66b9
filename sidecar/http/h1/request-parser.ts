import type { RequestHead } from '../message.ts';
import { type BodyDecoder, type BodySink, LengthDecoder } from './body-decoder.ts';
import { CR, LF } from './character-classes.ts';
import { ChunkedDecoder } from './chunked-decoder.ts';
import { checkLineEnds, HeadCollector } from './head-collector.ts';
import { type HeaderBlock, readHeaderBlock } from './header-block.ts';
import { ambiguous } from './protocol-error.ts';
import { readRequestLine } from './start-line.ts';

/** A request as it is read; its body follows through `sink`. */
export interface ParsedRequest {
  readonly head: RequestHead;
  readonly block: HeaderBlock;
  readonly hasBody: boolean;
}

/**
 * Requests from bytes, strictly by RFC 9112: no sockets, no timers. One request at a time: after its end
 * nothing is read until `next` is called, so pipelined requests are answered in order.
 */
export class RequestParser {
  readonly #sink: BodySink;
  readonly #onRequest: (request: ParsedRequest) => void;
  readonly #head = new HeadCollector();
  #body: BodyDecoder | undefined;
  #isBetween = true;

  constructor(onRequest: (request: ParsedRequest) => void, sink: BodySink) {
    this.#onRequest = onRequest;
    this.#sink = sink;
  }

  /** True while a header block has begun and not ended: the caller must go on with it in time. */
  get isInHead(): boolean {
    return this.#head.hasBegun;
  }

  /** True from the end of a header block to the end of its body. */
  get isInBody(): boolean {
    return this.#body !== undefined && !this.#body.isDone;
  }

  /** The request before was answered: the next one may be read. */
  next(): void {
    this.#body = undefined;
    this.#isBetween = true;
  }

  /** Reads from `offset`; returns where it stopped: less than all of it means that a request is under way. Throws ProtocolError. */
  push(bytes: Buffer, offset: number): number {
    if (this.#body !== undefined) return this.#body.isDone ? offset : this.#body.push(bytes, offset);
    if (!this.#isBetween) return offset;
    const next = this.#head.push(bytes, offset);
    if (next === -1) return bytes.length;
    this.#isBetween = false;
    this.#onRequest(this.#read());
    return this.#pushBody(bytes, next);
  }

  #pushBody(bytes: Buffer, offset: number): number {
    return this.#body === undefined ? offset : this.#body.push(bytes, offset);
  }

  #read(): ParsedRequest {
    const collected = this.#head;
    try {
      // RFC 9112 §2.2: one empty line before a request line is ignored
      const { bytes, start } = collected;
      const hasEmptyLine = bytes[start] === CR && bytes[start + 1] === LF;
      const { method, target, version, next } = readRequestLine(collected, hasEmptyLine ? start + 2 : start);
      const block = readHeaderBlock(collected, next);
      if (block.isChunked && version === '1.0') throw ambiguous('Transfer-Encoding on HTTP/1.0 (RFC 9112 §6.1)');
      const hasBody = block.isChunked || (block.contentLength ?? 0) > 0;
      if (block.isChunked) this.#body = new ChunkedDecoder(this.#sink);
      else if (hasBody) this.#body = new LengthDecoder(block.contentLength ?? 0, this.#sink);
      return { head: { method, target, headers: block.headers, version }, block, hasBody };
    } catch (error) {
      checkLineEnds(collected.bytes, collected.start, collected.start, collected.end);
      throw error;
    } finally {
      collected.release();
    }
  }
}
