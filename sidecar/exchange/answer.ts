import type { Code } from '#policy/error/codes.ts';
import { Refusal } from '#policy/error/refusal.ts';
import type { FlatHeaders } from '#policy/http/flat-headers.ts';
import { changedHeaders } from '../authorization/header-changes.ts';
import { endToEndHeaders, endToEndTrailers } from '../http/hop-by-hop.ts';
import type { BodyConsumer, IncomingBody, OutgoingBody, UpstreamResponse } from '../http/message.ts';
import type { Exchange } from './exchange.ts';
import { grpcStatusFields } from './grpc-status.ts';

/** What ends a gRPC call in the middle, by a message of it: both ends are well, and are told. */
const OF_MESSAGES: ReadonlySet<Code> = new Set([
  'malformed_body',
  'invalid_body',
  'unknown_property',
  'body_too_large',
  'invalid_response',
]);

/** What only a sidecar says: an app's own would send its reader to a decision that nobody made. */
const SIDECARS_OWN: ReadonlySet<string> = new Set(['lateral-decision']);

/** The headers of a response as its caller gets them: end to end, with what providers want told, without what only a sidecar says. */
export function toldHeaders({ direction, toCaller }: Exchange, headers: FlatHeaders): FlatHeaders {
  const kept = endToEndHeaders(headers, direction === 'inbound' ? SIDECARS_OWN : undefined);
  return toCaller.length === 0 ? kept : changedHeaders(kept, toCaller);
}

/**
 * A response on its way to the caller: head, body with backpressure, trailers. It begins within the read that brought the head,
 * so that a body in the same read is passed on and not kept; `respond` waits for its end.
 */
export class Answer implements BodyConsumer {
  readonly #exchange: Exchange;
  readonly #body: IncomingBody;
  #outgoing: OutgoingBody | undefined;
  #isDone = false;
  #failure: unknown;
  #settle: (() => void) | undefined;

  constructor(exchange: Exchange, body: IncomingBody) {
    this.#exchange = exchange;
    this.#body = body;
  }

  /** Passes the head on and whatever of the body is there. Does not throw: `end` does. */
  begin({ head }: UpstreamResponse): void {
    const exchange = this.#exchange;
    if (exchange.stageNames.at(-1) !== 'respond') exchange.enter('respond');
    exchange.status = head.status;
    exchange.isAnswered = true;
    try {
      this.#outgoing = exchange.server.respond({ ...head, headers: toldHeaders(exchange, head.headers) });
      exchange.waitFor('upstream-body');
      exchange.onGivenUp = (refusal) => this.#giveUp(refusal);
      if (exchange.givenUp !== undefined) this.#giveUp(exchange.givenUp);
      else this.#body.start(this);
    } catch (error) {
      this.#body.cancel();
      this.#done(error);
    }
  }

  /** Resolves when the last byte has been handed to the caller's codec; rejects with what ended it before. */
  async end(): Promise<void> {
    if (!this.#isDone)
      await new Promise<void>((resolve) => {
        this.#settle = resolve;
      });
    if (this.#failure !== undefined) throw this.#failure;
  }

  onChunk(chunk: Buffer): void {
    const outgoing = this.#outgoing;
    if (outgoing === undefined) return;
    this.#exchange.bytesOut += chunk.length;
    if (outgoing.write(chunk)) {
      this.#exchange.progressedAt = performance.now();
      return;
    }
    this.#body.pause();
    this.#exchange.waitFor('caller-drain');
    outgoing.onDrain = () => {
      this.#exchange.waitFor('upstream-body');
      this.#body.resume();
    };
  }

  onEnd(trailers: FlatHeaders): void {
    this.#outgoing?.end(endToEndTrailers(trailers));
    this.#done(undefined);
  }

  onError(error: Error): void {
    this.#outgoing?.abort(error);
    this.#done(
      this.#exchange.givenUp ?? new Refusal('upstream_unavailable', `the response broke off: ${error.message}`),
    );
  }

  #giveUp(refusal: Refusal): void {
    if (this.#isDone) return; // the connection is another exchange's by now
    this.#body.cancel();
    if (this.#exchange.isGrpc && OF_MESSAGES.has(refusal.code)) {
      this.#exchange.isEndedByStatus = true;
      this.#outgoing?.end(grpcStatusFields(refusal, this.#exchange.decisionId));
    } else {
      this.#outgoing?.abort(refusal);
    }
    this.#done(refusal);
  }

  #done(failure: unknown): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#failure = failure;
    this.#settle?.();
  }
}
