import { Refusal } from '#policy/error/refusal.ts';
import { type FlatHeaders, headerValue } from '#policy/http/flat-headers.ts';
import { endToEndHeaders, endToEndTrailers } from '../http/hop-by-hop.ts';
import type { BodyConsumer, IncomingBody, OutgoingBody } from '../http/message.ts';
import type { Exchange } from './exchange.ts';
import type { Answered } from './forward.ts';
import { joinStreams } from './join-streams.ts';

const NO_DROPS: ReadonlySet<string> = new Set();
/** What only a sidecar says: an app's own would send its reader to a decision that nobody made. */
const SIDECARS_OWN: ReadonlySet<string> = new Set(['lateral-decision']);

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
  const outgoing = exchange.server.respond({ ...head, headers: endToEndHeaders(head.headers, dropsOf(exchange)) });
  const pump = new Pump(exchange, response.body, outgoing);
  pump.start();
  if (!pump.isDone) await pump.whenDone(); // a small answer is whole by now
}

function dropsOf(exchange: Exchange): ReadonlySet<string> {
  return exchange.direction === 'inbound' ? SIDECARS_OWN : NO_DROPS;
}

class Pump implements BodyConsumer {
  readonly #exchange: Exchange;
  readonly #body: IncomingBody;
  readonly #outgoing: OutgoingBody;
  isDone = false;
  #failure: unknown;
  #settle: (() => void) | undefined;

  constructor(exchange: Exchange, body: IncomingBody, outgoing: OutgoingBody) {
    this.#exchange = exchange;
    this.#body = body;
    this.#outgoing = outgoing;
  }

  start(): void {
    const exchange = this.#exchange;
    exchange.waitFor('upstream-body');
    exchange.onGivenUp = (refusal) => this.giveUp(refusal);
    if (exchange.givenUp !== undefined) this.giveUp(exchange.givenUp);
    else this.#body.start(this);
    if (this.isDone && this.#failure !== undefined) throw this.#failure;
  }

  /** Resolves at the end of the body; rejects with what ended it before. */
  async whenDone(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#settle = resolve;
    });
    if (this.#failure !== undefined) throw this.#failure;
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
    this.#done(undefined);
  }

  onError(error: Error): void {
    this.#outgoing.abort(error);
    this.#done(
      this.#exchange.givenUp ?? new Refusal('upstream_unavailable', `the response broke off: ${error.message}`),
    );
  }

  giveUp(refusal: Refusal): void {
    this.#body.cancel();
    this.#outgoing.abort(refusal);
    this.#done(refusal);
  }

  #done(failure: unknown): void {
    if (this.isDone) return;
    this.isDone = true;
    this.#failure = failure;
    this.#settle?.();
  }
}
