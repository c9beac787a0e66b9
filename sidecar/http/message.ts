import type { Duplex } from 'node:stream';
import type { FlatHeaders } from '#policy/http/flat-headers.ts';
import type { SpiffeId } from '#policy/identity/spiffe-id.ts';
import type { ProvenPeer } from '#policy/trust/peer-verdicts.ts';
import type { ConnectionLife } from '../identity/connection-life.ts';

/**
 * What a codec hands to the pipeline and takes from it. Stages know these types and nothing of
 * sockets or libraries, so a codec can be replaced without touching a stage.
 */
export interface RequestHead {
  readonly method: string;
  /** As sent: `/path?query`, `*`, or an absolute URI. */
  readonly target: string;
  /** As sent, Host included. */
  readonly headers: FlatHeaders;
  readonly version: '1.0' | '1.1' | '2';
}

export interface ResponseHead {
  readonly status: number;
  /** Reason phrase; empty: the codec's own. */
  readonly reason: string;
  readonly headers: FlatHeaders;
}

/** A response that is whole from the start: a refusal, also of bytes that never became a request. */
export interface ImmediateResponse {
  readonly head: ResponseHead;
  readonly body: Buffer;
}

/** Takes an incoming body. Never called again after `onEnd` or `onError`. */
export interface BodyConsumer {
  /** The bytes are good for this call only: who keeps any of them copies them. */
  onChunk(chunk: Buffer): void;
  onEnd(trailers: FlatHeaders): void;
  onError(error: Error): void;
}

/** A body as it arrives. Nothing is read before `start`. */
export interface IncomingBody {
  /** False: the framing says that there is none. */
  readonly isPresent: boolean;
  /** Bytes, where the sender declared them. */
  readonly declaredLength: number | undefined;
  /** Begins delivery, once; tells a sender that waits for it to continue (RFC 9110 §10.1.1). */
  start(consumer: BodyConsumer): void;
  pause(): void;
  resume(): void;
  /** Reads nothing more; the codec drains it or ends its connection. */
  cancel(): void;
}

/** A body as it leaves. */
export interface OutgoingBody {
  /** The bytes are good for this call only. False: enough for now; go on at `onDrain`. */
  write(chunk: Buffer): boolean;
  onDrain: (() => void) | undefined;
  end(trailers: FlatHeaders): void;
  /** Ends the message unfinished, so that the receiver sees that it is. */
  abort(error: Error): void;
}

/** The caller's connection, as it was accepted. */
export interface Caller {
  readonly address: string;
  readonly port: number;
  /** The caller's certificate; absent on plaintext listeners. */
  readonly certificate: VerifiedCertificate | undefined;
  /** The name it asked for in its TLS handshake (SNI). */
  readonly serverName?: string | undefined;
}

/** A peer's certificate that was judged: chain, validity and SPIFFE ID are good. */
export interface VerifiedCertificate {
  readonly identity: SpiffeId;
  /** SHA-256 of the DER, hex: `Hash` of x-forwarded-client-cert. */
  readonly sha256: string;
  readonly peer: ProvenPeer;
  /** Of the connection that was made with it. */
  readonly life: ConnectionLife;
}

/** One request as the serving codec hands it over. */
export interface ServerRequest {
  readonly head: RequestHead;
  readonly body: IncomingBody;
  readonly caller: Caller;
  /** True when the caller holds its body back until it is asked for (RFC 9110 §10.1.1); `body.start` asks. */
  readonly expectsContinue: boolean;
  /** True when the caller asks to switch to WebSocket. */
  readonly isUpgrade: boolean;
  /** Sends an interim response (1xx other than 101). */
  inform(head: ResponseHead): void;
  /** Sends the response head; once. */
  respond(head: ResponseHead): OutgoingBody;
  /** Answers 101 and hands the connection over. */
  switchProtocols(head: ResponseHead): Duplex;
  /** Called once if the caller goes away before the response is complete; with a Refusal where it broke a rule. */
  onAbandoned: ((error: Error) => void) | undefined;
  /** Ends the caller's connection without an answer. */
  destroy(): void;
}

/** A request on its way to an app or a peer. */
export interface OutgoingRequest {
  readonly head: RequestHead;
  /** `null`: no body. A buffer has been read and judged before. */
  readonly body: IncomingBody | Buffer | null;
  readonly isUpgrade: boolean;
  /** Ask the other side before a streamed body is sent. */
  readonly expectsContinue: boolean;
  /** Sent before, and lost with a kept connection: over HTTP/1.1 it takes a new one, as others that were kept may be gone too. */
  readonly isRepeated?: boolean;
  /**
   * The response head, within the read that brought it, so that a reader is there before the body is; `response` of the
   * exchange resolves later. Must not throw.
   */
  onResponse(response: UpstreamResponse): void;
  /** Interim responses (1xx other than 100 and 101). */
  onInformation(head: ResponseHead): void;
  /** Bytes of request body sent so far; called at each chunk. */
  onBodyProgress(bytes: number): void;
  /** True: the other side does not take more for now; false: it is the caller's turn to send. */
  onBodyBlocked(isBlocked: boolean): void;
  /** The whole request body has been taken. */
  onBodyEnd(): void;
}

export interface UpstreamResponse {
  readonly head: ResponseHead;
  readonly body: IncomingBody;
  /** Present on a 101: the switched connection. */
  readonly switched: Duplex | undefined;
}

/** A request in flight. */
export interface UpstreamExchange {
  /** Resolves at the response head; rejects with UpstreamFailure. */
  readonly response: Promise<UpstreamResponse>;
  /** Gives the exchange up. */
  cancel(error: Error): void;
}

/** Sends requests to one endpoint; keeps its connections. */
export interface Upstream {
  send(request: OutgoingRequest): UpstreamExchange;
  close(): void;
}

/** Why an exchange with an upstream failed. `isUnsent`: not one byte of it left, so it may go elsewhere. */
export class UpstreamFailure extends Error {
  readonly kind: 'unreachable' | 'identity' | 'certificate' | 'loop' | 'closed' | 'malformed' | 'cancelled';
  readonly isUnsent: boolean;
  /** A kept connection was closed under the request before a byte of an answer: the race that a repetition mends. */
  readonly wasKept: boolean;

  constructor(kind: UpstreamFailure['kind'], message: string, isUnsent: boolean, wasKept = false) {
    super(message);
    this.name = 'UpstreamFailure';
    this.kind = kind;
    this.isUnsent = isUnsent;
    this.wasKept = wasKept;
  }
}
