import type { RequestHead } from '../message.ts';
import { type BodyDecoder, type BodySink, ChunkedDecoder, LengthDecoder } from './body-decoder.ts';
import { HeadCollector } from './head-collector.ts';
import { checkCharacters, type HeaderBlock, readHeaderBlock } from './header-block.ts';
import { ProtocolError } from './protocol-error.ts';
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
    const found = this.#head.push(bytes, offset);
    if (found === undefined) return bytes.length;
    this.#isBetween = false;
    this.#onRequest(this.#read(found.text));
    return this.#pushBody(bytes, found.next);
  }

  #pushBody(bytes: Buffer, offset: number): number {
    return this.#body === undefined ? offset : this.#body.push(bytes, offset);
  }

  #read(text: string): ParsedRequest {
    checkCharacters(text);
    // RFC 9112 §2.2: one empty line before a request line is ignored
    const start = text.startsWith('\r\n') ? 2 : 0;
    const lineEnd = text.indexOf('\r\n', start);
    const { method, target, version } = readRequestLine(text.slice(start, Math.max(start, lineEnd)));
    const block = readHeaderBlock(text, lineEnd + 2);
    if (block.isChunked && version === '1.0') throw new ProtocolError('Transfer-Encoding on HTTP/1.0 (RFC 9112 §6.1)');
    const hasBody = block.isChunked || (block.contentLength ?? 0) > 0;
    if (block.isChunked) this.#body = new ChunkedDecoder(this.#sink);
    else if (hasBody) this.#body = new LengthDecoder(block.contentLength ?? 0, this.#sink);
    return { head: { method, target, headers: block.headers, version }, block, hasBody };
  }
}
