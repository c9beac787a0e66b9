import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { Refusal } from '#policy/error/refusal.ts';
import { headerValue } from '#policy/http/flat-headers.ts';
import { BodyDuplex } from '../body-duplex.ts';
import type { Caller, IncomingBody, OutgoingBody, RequestHead, ResponseHead, ServerRequest } from '../message.ts';
import { INTERNAL_ERROR } from './frame.ts';
import type { Http2Session } from './http2-session.ts';
import type { Http2Stream, StreamOwner } from './http2-stream.ts';
import type { ReadRequest } from './request-fields.ts';

const WEBSOCKET_KEY_BYTES = 16;
const CONTINUE: ResponseHead = { status: 100, reason: '', headers: [] };

/** One request of a connection of HTTP/2, as the pipeline sees it. */
export class Http2Request implements ServerRequest, StreamOwner {
  readonly head: RequestHead;
  readonly body: IncomingBody;
  readonly caller: Caller;
  readonly isUpgrade: boolean;
  readonly expectsContinue: boolean;
  onAbandoned: ((error: Error) => void) | undefined = undefined;
  readonly #stream: Http2Stream;
  readonly #session: Http2Session;

  constructor(stream: Http2Stream, read: ReadRequest, caller: Caller, session: Http2Session) {
    this.#stream = stream;
    this.#session = session;
    this.caller = caller;
    this.isUpgrade = read.isUpgrade;
    this.head = read.isUpgrade ? withWebSocketKey(read.head) : read.head;
    this.body = read.isUpgrade ? NO_BODY : stream;
    this.expectsContinue = read.expectsContinue && stream.isPresent;
    if (this.expectsContinue) stream.beforeStart = () => this.inform(CONTINUE);
  }

  inform(head: ResponseHead): void {
    if (!this.#stream.hasFinalHead) this.#session.respond(this.#stream, head);
  }

  respond(head: ResponseHead): OutgoingBody {
    this.#session.respond(this.#stream, head);
    return this.#stream;
  }

  switchProtocols(head: ResponseHead): Duplex {
    this.#stream.isTunnel = true;
    this.#session.respond(this.#stream, { ...head, status: 200 }); // RFC 8441 §5
    return new BodyDuplex(this.#stream, this.#stream);
  }

  destroy(): void {
    this.#session.reset(this.#stream, INTERNAL_ERROR);
  }

  // StreamOwner

  onHead(): void {}

  onRemoteEnd(): void {}

  onReset(_code: number | undefined, reason: string, isFault: boolean): void {
    this.onAbandoned?.(isFault ? new Refusal('http2_protocol_error', reason) : new Error(reason));
  }
}

/** The bytes of a WebSocket are no body of its request. */
const NO_BODY: IncomingBody = {
  isPresent: false,
  declaredLength: undefined,
  start: (consumer) => consumer.onEnd([]),
  pause: () => {},
  resume: () => {},
  cancel: () => {},
};

/** An app that speaks HTTP/1.1 wants a key (RFC 6455 §4.1), which extended CONNECT has no need of. */
function withWebSocketKey(head: RequestHead): RequestHead {
  if (headerValue(head.headers, 'sec-websocket-key') !== undefined) return head;
  const key = randomBytes(WEBSOCKET_KEY_BYTES).toString('base64');
  return { ...head, headers: [...head.headers, 'sec-websocket-key', key] };
}
