import type { Duplex } from 'node:stream';
import { Refusal } from '#policy/error/refusal.ts';
import { endToEndHeaders } from '../http/hop-by-hop.ts';
import type { OutgoingRequest, RequestHead, ResponseHead, Upstream, UpstreamResponse } from '../http/message.ts';
import { UpstreamFailure } from '../http/message.ts';
import type { Exchange, Sendable } from './exchange.ts';
import { type Answering, beginAnswer } from './judged-answer.ts';
import { requestTarget } from './request-target.ts';

/** Methods that may be sent again when a connection ended under them. Source: RFC 9110 §9.2.2. */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);

/** An interim response has no body to frame (RFC 9110 §8.6). */
const FRAMING: ReadonlySet<string> = new Set(['content-length']);

/** The response head has arrived: the response is on its way to the caller, or the connection speaks another protocol now. */
export type Answered =
  | { readonly kind: 'answer'; readonly answer: Answering }
  | { readonly kind: 'switch'; readonly exchange: Exchange; readonly head: ResponseHead; readonly switched: Duplex };

/**
 * Sends the request and waits for the response head. Refuses: upstream_unavailable,
 * upstream_identity_mismatch, upstream_certificate_refused, upstream_malformed, and whatever gives the exchange up meanwhile.
 * An idempotent request whose body is at hand is sent once more if its kept connection had just been closed.
 */
export async function forward(exchange: Sendable, upstream: Upstream, headers: string[]): Promise<Answered> {
  exchange.enter('forward');
  const request = new ForwardedRequest(exchange, headers);
  exchange.sentAt = performance.now();
  for (;;) {
    if (exchange.givenUp !== undefined) throw exchange.givenUp;
    exchange.waitFor('upstream-head');
    const flight = upstream.send(request);
    exchange.onGivenUp = (refusal) => flight.cancel(refusal);
    if (exchange.givenUp !== undefined) flight.cancel(exchange.givenUp); // by the first of its messages
    try {
      const { head, switched } = await flight.response;
      if (exchange.givenUp !== undefined) throw exchange.givenUp;
      if (switched !== undefined) return { kind: 'switch', exchange, head, switched };
      if (request.answer !== undefined) return { kind: 'answer', answer: request.answer };
      throw new Error('a response without onResponse');
    } catch (error) {
      if (exchange.givenUp !== undefined) throw exchange.givenUp;
      if (!(error instanceof UpstreamFailure && error.wasKept && request.mayRepeat)) throw refusalOf(error);
      request.isRepeated = true;
    } finally {
      if (request.answer === undefined) exchange.answeredAt = performance.now();
    }
  }
}

/** Turns a codec's failure into the refusal it amounts to. */
export function refusalOf(error: unknown): unknown {
  if (!(error instanceof UpstreamFailure)) return error;
  if (error.kind === 'identity') return new Refusal('upstream_identity_mismatch', error.message, {}, { cause: error });
  if (error.kind === 'certificate')
    return new Refusal('upstream_certificate_refused', error.message, {}, { cause: error });
  if (error.kind === 'loop') return new Refusal('loop_detected', error.message, {}, { cause: error });
  if (error.kind === 'malformed') return new Refusal('upstream_malformed', error.message, {}, { cause: error });
  return new Refusal('upstream_unavailable', error.message, {}, { cause: error });
}

/** The request as it goes on, and what its codec tells of it on the way. */
class ForwardedRequest implements OutgoingRequest {
  readonly head: RequestHead;
  readonly body: OutgoingRequest['body'];
  readonly isUpgrade: boolean;
  readonly expectsContinue: boolean;
  isRepeated = false;
  answer: Answering | undefined = undefined;
  readonly #exchange: Sendable;

  constructor(exchange: Sendable, headers: string[]) {
    const { server } = exchange;
    this.#exchange = exchange;
    this.head = { method: server.head.method, target: requestTarget(exchange), headers, version: server.head.version };
    this.body = exchange.outgoingBody;
    this.isUpgrade = server.isUpgrade;
    this.expectsContinue = server.expectsContinue;
  }

  /** The same request again does no harm, and nothing of it is gone. */
  get mayRepeat(): boolean {
    const isAtHand = this.body === null || Buffer.isBuffer(this.body);
    return isAtHand && !this.isRepeated && IDEMPOTENT.has(this.head.method);
  }

  onResponse(response: UpstreamResponse): void {
    if (response.switched !== undefined) return;
    this.#exchange.answeredAt = performance.now();
    this.answer = beginAnswer(this.#exchange, response);
  }

  onInformation(head: ResponseHead): void {
    const { responses, policy } = this.#exchange;
    // Early hints (103) and their like tell of a response that is yet to be judged.
    if (head.status > 100 && responses?.isEnforced === true && policy.defaults.mode === 'Enforce') return;
    this.#exchange.server.inform({ ...head, headers: endToEndHeaders(head.headers, FRAMING) });
  }

  onBodyProgress(bytes: number): void {
    this.#exchange.bytesIn += bytes;
    this.#exchange.progressedAt = performance.now();
  }

  onBodyBlocked(isBlocked: boolean): void {
    if (!this.#exchange.isAnswered) this.#exchange.waitFor(isBlocked ? 'upstream-head' : 'caller-body');
  }

  onBodyEnd(): void {
    if (!this.#exchange.isAnswered) this.#exchange.waitFor('upstream-head');
  }
}
