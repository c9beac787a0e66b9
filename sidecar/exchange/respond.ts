import { Refusal } from '#policy/error/refusal.ts';
import { type FlatHeaders, headerValue } from '#policy/http/flat-headers.ts';
import { endToEndHeaders, endToEndTrailers } from '../http/hop-by-hop.ts';
import type { BodyConsumer, IncomingBody, OutgoingBody } from '../http/message.ts';
import type { Exchange } from './exchange.ts';
import type { Answered } from './forward.ts';
import { joinStreams } from './join-streams.ts';

const NO_DROPS: ReadonlySet<string> = new Set();

/**
 * Passes the response on: head, body with backpressure, trailers; or joins the two connections after
 * a 101. Resolves when the last byte has been handed to the caller's codec.
 */
export async function respond({ exchange, response }: Answered): Promise<void> {
  exchange.enter('respond');
  const { head, switched } = response;
  exchange.status = head.status;
  exchange.isAnswered = true;
  if (switched !== undefined) {
    const headers = endToEndHeaders(head.headers, NO_DROPS);
    headers.push('connection', 'Upgrade', 'upgrade', headerValue(head.headers, 'upgrade') ?? '');
    exchange.waitFor('switched');
    await joinStreams(exchange, exchange.server.switchProtocols({ ...head, headers }), switched);
    return;
  }
  const outgoing = exchange.server.respond({ ...head, headers: endToEndHeaders(head.headers, NO_DROPS) });
  await relay(exchange, response.body, outgoing);
}

function relay(exchange: Exchange, body: IncomingBody, outgoing: OutgoingBody): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const pump = new Pump(exchange, body, outgoing, resolve, reject);
  exchange.onGivenUp = (refusal) => pump.giveUp(refusal);
  if (exchange.givenUp !== undefined) pump.giveUp(exchange.givenUp);
  else body.start(pump);
  return promise;
}

class Pump implements BodyConsumer {
  readonly #exchange: Exchange;
  readonly #body: IncomingBody;
  readonly #outgoing: OutgoingBody;
  readonly #resolve: () => void;
  readonly #reject: (error: unknown) => void;

  constructor(
    exchange: Exchange,
    body: IncomingBody,
    outgoing: OutgoingBody,
    resolve: () => void,
    reject: (error: unknown) => void,
  ) {
    this.#exchange = exchange;
    this.#body = body;
    this.#outgoing = outgoing;
    this.#resolve = resolve;
    this.#reject = reject;
    exchange.waitFor('upstream-body');
  }

  onChunk(chunk: Buffer): void {
    this.#exchange.bytesOut += chunk.length;
    if (this.#outgoing.write(chunk)) {
      this.#exchange.progressedAt = performance.now();
      return;
    }
    this.#body.pause();
    this.#exchange.waitFor('caller-drain');
    this.#outgoing.onDrain = () => {
      this.#exchange.waitFor('upstream-body');
      this.#body.resume();
    };
  }

  onEnd(trailers: FlatHeaders): void {
    this.#outgoing.end(endToEndTrailers(trailers));
    this.#resolve();
  }

  onError(error: Error): void {
    this.#outgoing.abort(error);
    this.#reject(
      this.#exchange.givenUp ?? new Refusal('upstream_unavailable', `the response broke off: ${error.message}`),
    );
  }

  giveUp(refusal: Refusal): void {
    this.#body.cancel();
    this.#outgoing.abort(refusal);
    this.#reject(refusal);
  }
}
