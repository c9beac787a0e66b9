import type { ResponseHead } from '../message.ts';
import { type BodyDecoder, type BodySink, ChunkedDecoder, CloseDecoder, LengthDecoder } from './body-decoder.ts';
import { HeadCollector } from './head-collector.ts';
import { checkCharacters, type HeaderBlock, readHeaderBlock } from './header-block.ts';
import { ProtocolError } from './protocol-error.ts';
import { readStatusLine } from './start-line.ts';

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
      const found = this.#head.push(bytes, at);
      if (found === undefined) return bytes.length;
      at = found.next;
      if (this.#read(found.text) === 101) return at;
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

  #read(text: string): number {
    checkCharacters(text);
    const lineEnd = text.indexOf('\r\n');
    const { status, reason, version } = readStatusLine(text.slice(0, lineEnd));
    const block = readHeaderBlock(text, lineEnd + 2);
    if (block.isChunked && version === '1.0') throw new ProtocolError('Transfer-Encoding on HTTP/1.0 (RFC 9112 §6.1)');
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
      isReusable: isDelimited && isPersistent,
    });
    if (isBodiless || declaredLength === 0) this.#body.push(EMPTY, 0);
    return status;
  }
}

const EMPTY = Buffer.alloc(0);
