import { createHash } from 'node:crypto';
import { Refusal } from '#policy/error/refusal.ts';
import { headerValue } from '#policy/http/flat-headers.ts';
import { BodyDuplex } from '../body-duplex.ts';
import { endToEndTrailers } from '../hop-by-hop.ts';
import type {
  IncomingBody,
  OutgoingRequest,
  RequestHead,
  ResponseHead,
  UpstreamExchange,
  UpstreamResponse,
} from '../message.ts';
import { UpstreamFailure } from '../message.ts';
import { CANCEL, PROTOCOL_ERROR, REFUSED_STREAM } from './frame.ts';
import type { Http2Session } from './http2-session.ts';
import type { Http2Stream, StreamOwner } from './http2-stream.ts';
import { type ReadResponse, readResponse } from './request-fields.ts';

/** A body held back for 100 (Continue) is sent without it after this. */
const CONTINUE_TIMEOUT_MS = 1_000;
/** Interim responses before one final response; more is not an answer but an attack. */
const MAX_INTERIM_RESPONSES = 16;
/** Times that a request is sent anew because a connection did not take it. */
const MAX_ATTEMPTS = 3;
/** RFC 6455 §1.3. */
const WEBSOCKET_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** One request and its response on a connection of HTTP/2. */
export class Http2Exchange implements UpstreamExchange, StreamOwner {
  readonly request: OutgoingRequest;
  readonly response: Promise<UpstreamResponse>;
  readonly #resolve: (response: UpstreamResponse) => void;
  readonly #reject: (failure: Error) => void;
  /** Puts the exchange back in line: its connection did not take it. */
  readonly #again: (exchange: Http2Exchange) => void;
  #session: Http2Session | undefined;
  #stream: Http2Stream | undefined;
  #attempts = 0;
  #interim = 0;
  #isSettled = false;
  #hasBodyStarted = false;
  #delegate: UpstreamExchange | undefined;
  #goOn: () => void = () => {};
  #continueTimer: NodeJS.Timeout | undefined;
  isCancelled = false;

  constructor(request: OutgoingRequest, again: (exchange: Http2Exchange) => void) {
    this.request = request;
    this.#again = again;
    const { promise, resolve, reject } = Promise.withResolvers<UpstreamResponse>();
    this.response = promise;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** Sends the request. `session` has room. */
  begin(session: Http2Session): void {
    this.#session = session;
    this.#attempts++;
    const { body, isUpgrade } = this.request;
    const head = this.#headToSend();
    if (session.exceedsPeerLimit(head)) {
      const limit = `maxHeaderListBytes ${session.peer.maxHeaderListBytes}`;
      this.fail(new Refusal('header_block_too_large', `the header list exceeds the peer's ${limit}`, { limit }));
      return;
    }
    if (isUpgrade && !session.peer.hasConnectProtocol) {
      this.fail(
        new UpstreamFailure('malformed', 'no WebSocket: ENABLE_CONNECT_PROTOCOL was not said (RFC 8441 §3)', true),
      );
      return;
    }
    const isEnd = !isUpgrade && (body === null || (Buffer.isBuffer(body) && body.length === 0));
    const stream = session.request(head, isUpgrade, isEnd);
    this.#stream = stream;
    stream.owner = this;
    if (isEnd || isUpgrade) return;
    if (Buffer.isBuffer(body)) {
      stream.write(body);
      stream.end([]);
    } else if (body !== null) this.#sendStream(stream, body);
  }

  /** Goes another way: by HTTP/1.1, which is all that the peer speaks. */
  delegate(flight: UpstreamExchange): void {
    this.#delegate = flight;
    flight.response.then(this.#resolve, this.#reject);
  }

  fail(failure: Error): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    clearTimeout(this.#continueTimer);
    this.#reject(failure);
  }

  cancel(error: Error): void {
    this.isCancelled = true;
    if (this.#delegate !== undefined) {
      this.#delegate.cancel(error);
      return;
    }
    this.fail(new UpstreamFailure('cancelled', error.message, this.#stream === undefined));
    if (this.#stream === undefined) return;
    this.#session?.reset(this.#stream, CANCEL);
    this.#stream.cancel(); // of an answer that had come whole, too
  }

  // StreamOwner

  onHead(fields: string[]): void {
    const stream = this.#stream;
    const session = this.#session;
    if (stream === undefined || session === undefined) return;
    const read = readResponse(fields, session.isCased);
    const complaint = typeof read === 'string' ? read : this.#complaint(read, stream);
    if (typeof read === 'string' || complaint !== undefined) {
      this.fail(new UpstreamFailure('malformed', complaint ?? '', false));
      session.reset(stream, PROTOCOL_ERROR);
      return;
    }
    const { head } = read;
    if (head.status === 100) this.#goOn();
    else if (head.status < 200) this.request.onInformation(head);
    else this.#answer(read, stream);
  }

  onRemoteEnd(): void {
    const stream = this.#stream;
    // an answer that is whole while the request is not: what is left of it goes nowhere (RFC 9113 §8.1)
    if (stream !== undefined && !stream.isLocalEnded && !this.request.isUpgrade) this.#session?.reset(stream, CANCEL);
  }

  onReset(code: number | undefined, reason: string, isFault: boolean): void {
    if (this.#isSettled) return;
    if (isFault) {
      this.fail(new UpstreamFailure('malformed', reason, false));
      return;
    }
    const isUnsent = code === REFUSED_STREAM;
    if (isUnsent && !this.#hasBodyStarted && this.#attempts < MAX_ATTEMPTS && !this.isCancelled) {
      this.#stream = undefined;
      this.#session = undefined;
      clearTimeout(this.#continueTimer);
      this.#again(this);
      return;
    }
    // a request that was refused can be sent elsewhere only while its body is whole
    const isLost = code === undefined;
    this.fail(
      new UpstreamFailure('closed', reason, isUnsent && !this.#hasBodyStarted, isLost && !this.#hasBodyStarted),
    );
  }

  #complaint(read: ReadResponse, stream: Http2Stream): string | undefined {
    if (read.head.status === 101) return '101 over HTTP/2 (RFC 9113 §8.6)';
    if (read.head.status < 200 && ++this.#interim > MAX_INTERIM_RESPONSES)
      return `more than ${MAX_INTERIM_RESPONSES} interim responses`;
    if (!stream.isPresent && (read.contentLength ?? 0) > 0 && !this.#isBodiless(read.head))
      return 'less DATA than content-length says (RFC 9113 §8.1.1)';
    return undefined;
  }

  /** RFC 9110 §6.4.1: whatever its content-length says. */
  #isBodiless({ status }: ResponseHead): boolean {
    return this.request.head.method === 'HEAD' || status === 204 || status === 304;
  }

  #answer(read: ReadResponse, stream: Http2Stream): void {
    const { head, contentLength } = read;
    const isBodiless = this.#isBodiless(head);
    stream.declaredLength = isBodiless ? 0 : contentLength;
    if (isBodiless) stream.isPresent = false;
    if (this.#isSettled) return;
    this.#isSettled = true;
    clearTimeout(this.#continueTimer);
    const isSwitched = this.request.isUpgrade && head.status >= 200 && head.status < 300;
    const response = isSwitched
      ? { head: this.#switchedHead(head), body: stream, switched: new BodyDuplex(stream, stream) }
      : { head, body: stream, switched: undefined };
    this.request.onResponse(response);
    this.#resolve(response);
  }

  /** The answer to extended CONNECT (RFC 8441 §5) as HTTP/1.1 tells it (RFC 6455 §4.2.2). */
  #switchedHead(head: ResponseHead): ResponseHead {
    const headers = [...head.headers, 'upgrade', 'websocket'];
    const key = headerValue(this.request.head.headers, 'sec-websocket-key');
    if (key !== undefined && headerValue(headers, 'sec-websocket-accept') === undefined) {
      const accept = createHash('sha1')
        .update(key + WEBSOCKET_GUID)
        .digest('base64');
      headers.push('sec-websocket-accept', accept);
    }
    return { status: 101, reason: '', headers };
  }

  #headToSend(): RequestHead {
    const { head, body, expectsContinue } = this.request;
    const isBuffered = Buffer.isBuffer(body);
    const lacksLength = isBuffered && headerValue(head.headers, 'content-length') === undefined;
    const holds = expectsContinue && body !== null && !isBuffered;
    if (!lacksLength && !holds) return head;
    const headers = [...head.headers];
    if (lacksLength) headers.push('content-length', String(body.length)); // it may have come in chunks: its length is known now
    if (holds) headers.push('expect', '100-continue');
    return { ...head, headers };
  }

  #sendStream(stream: Http2Stream, body: IncomingBody): void {
    if (!this.request.expectsContinue) {
      this.#sendBody(stream, body);
      return;
    }
    // RFC 9110 §10.1.1: a server may not know the expectation; it is not waited for without end
    this.#continueTimer = setTimeout(() => this.#goOn(), CONTINUE_TIMEOUT_MS);
    this.#goOn = () => {
      clearTimeout(this.#continueTimer);
      this.#goOn = () => {};
      if (!this.#isSettled && !stream.isReset) this.#sendBody(stream, body);
    };
  }

  #sendBody(stream: Http2Stream, body: IncomingBody): void {
    const { request } = this;
    this.#hasBodyStarted = true;
    request.onBodyBlocked(false);
    stream.onDrain = () => {
      request.onBodyBlocked(false);
      body.resume();
    };
    body.start({
      onChunk: (chunk) => {
        request.onBodyProgress(chunk.length);
        if (stream.write(chunk)) return;
        body.pause();
        request.onBodyBlocked(true);
      },
      onEnd: (trailers) => {
        request.onBodyEnd();
        stream.end(endToEndTrailers(trailers));
      },
      onError: (error) => {
        // the caller's fault is told as it is; the app sees its request break off
        this.fail(error instanceof Refusal ? error : new UpstreamFailure('cancelled', error.message, false));
        stream.abort(error);
      },
    });
  }
}
