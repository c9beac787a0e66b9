import type { ResponseHead } from '../message.ts';
import { type BodyDecoder, type BodySink, CloseDecoder, LengthDecoder } from './body-decoder.ts';
import { ChunkedDecoder } from './chunked-decoder.ts';
import { checkLineEnds, HeadCollector } from './head-collector.ts';
import { type HeaderBlock, readHeaderBlock } from './header-block.ts';
import { ambiguous, ProtocolError } from './protocol-error.ts';
import { readStatusLine, type StatusLine } from './start-line.ts';

export interface ParsedResponse {
  readonly head: ResponseHead;
  readonly block: HeaderBlock;
  /** Bytes of the body where they are declared. */
  readonly declaredLength: number | undefined;
  readonly hasBody: boolean;
  /** The connection may carry another request when this response has ended. */
  readonly isReusable: boolean;
}

/** Interim responses before one final response; more is not an answer but an attack. */
const MAX_INTERIM_RESPONSES = 16;

/** One response from bytes, strictly by RFC 9112. `reset` before each request. */
export class ResponseParser {
  readonly #sink: BodySink;
  readonly #onResponse: (response: ParsedResponse) => void;
  readonly #head = new HeadCollector();
  #body: BodyDecoder | undefined;
  #method = 'GET';
  #interim = 0;
  /** False between responses: whatever comes then has not been asked for. */
  #isExpecting = false;

  /** `onResponse` is called for interim responses too. */
  constructor(onResponse: (response: ParsedResponse) => void, sink: BodySink) {
    this.#onResponse = onResponse;
    this.#sink = sink;
  }

  /** The method decides whether the response has a body (RFC 9112 §6.3). */
  reset(method: string): void {
    this.#method = method;
    this.#body = undefined;
    this.#interim = 0;
    this.#isExpecting = true;
  }

  /** Reads what it can; returns where it stopped (after a 101 the rest belongs to the other protocol). Throws ProtocolError. */
  push(bytes: Buffer, offset: number): number {
    let at = offset;
    while (at < bytes.length) {
      if (this.#body !== undefined) {
        if (this.#body.isDone) throw new ProtocolError('data after the end of the response (RFC 9112 §9.2)');
        return this.#body.push(bytes, at);
      }
      if (!this.#isExpecting) throw new ProtocolError('data before a request was sent (RFC 9112 §9.2)');
      const next = this.#head.push(bytes, at);
      if (next === -1) return bytes.length;
      at = next;
      const { line, block } = this.#read();
      if (this.#take(line, block) === 101) return at;
      if (this.#isEnded()) return at;
    }
    return at;
  }

  #isEnded(): boolean {
    return this.#body?.isDone === true;
  }

  /** True while a header block has begun and not ended. */
  get isInHead(): boolean {
    return this.#head.hasBegun;
  }

  /** The connection ended: true where that ends the response well. */
  endOfInput(): boolean {
    return this.#body?.endOfInput() ?? false;
  }

  #read(): { readonly line: StatusLine; readonly block: HeaderBlock } {
    const collected = this.#head;
    try {
      const line = readStatusLine(collected);
      const block = readHeaderBlock(collected, line.next);
      if (block.isChunked && line.version === '1.0') throw ambiguous('Transfer-Encoding on HTTP/1.0 (RFC 9112 §6.1)');
      if (line.status < 200 && (block.isChunked || hasLength(block)))
        throw ambiguous(`an interim response ${line.status} that declares a body (RFC 9112 §6.1, RFC 9110 §8.6)`);
      return { line, block };
    } catch (error) {
      checkLineEnds(collected.bytes, collected.start, collected.start, collected.end);
      throw error;
    } finally {
      collected.release();
    }
  }

  #take({ status, reason, version }: StatusLine, block: HeaderBlock): number {
    const head = { status, reason, headers: block.headers };
    if (status < 200) {
      this.#interim++;
      if (this.#interim > MAX_INTERIM_RESPONSES)
        throw new ProtocolError(`more than ${MAX_INTERIM_RESPONSES} interim responses`);
      this.#onResponse({ head, block, declaredLength: undefined, hasBody: false, isReusable: false });
      return status;
    }
    this.#isExpecting = false;
    const isBodiless = this.#method === 'HEAD' || status === 204 || status === 304;
    const declaredLength = isBodiless || block.isChunked ? undefined : block.contentLength;
    const isDelimited = isBodiless || block.isChunked || declaredLength !== undefined;
    const isPersistent = version === '1.1' ? !block.isClose : block.isKeepAlive && !block.isClose;
    if (isBodiless) this.#body = new LengthDecoder(0, this.#sink);
    else if (block.isChunked) this.#body = new ChunkedDecoder(this.#sink);
    else if (declaredLength !== undefined) this.#body = new LengthDecoder(declaredLength, this.#sink);
    else this.#body = new CloseDecoder(this.#sink);
    this.#onResponse({
      head,
      block,
      declaredLength,
      hasBody: !isBodiless && declaredLength !== 0,
      // a server that declares a body where none may be could also send it: behind a 204 nothing else is read
      isReusable: isDelimited && isPersistent && !(status === 204 && (block.isChunked || hasLength(block))),
    });
    if (isBodiless || declaredLength === 0) this.#body.push(EMPTY, 0);
    return status;
  }
}

function hasLength(block: HeaderBlock): boolean {
  return block.contentLength !== undefined && block.contentLength > 0;
}

const EMPTY = Buffer.alloc(0);
