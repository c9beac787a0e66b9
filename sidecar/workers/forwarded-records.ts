import type { RuleTallies } from '#policy/authorization/rule-tallies.ts';
import type { DecisionRecord } from '#proto/gen/lateral/v1/observation.ts';
import { DecisionTally, RULES_INTERVAL_MS } from '../control/decision-tally.ts';
import type { Exchange } from '../exchange/exchange.ts';
import type { Recorder } from '../exchange/record.ts';
import type { TcpPassage } from '../exchange/tcp-passage.ts';
import { type SpanFacts, spanFactsOf } from '../telemetry/span-facts.ts';
import type { WorkerRecords } from './messages.ts';

/** Records leave a worker at most this often. */
const FORWARD_INTERVAL_MS = 250;
/** Sampled exchanges of a worker that wait for the main thread; further ones are lost, and counted. */
export const MAX_WAITING_EXCHANGES = 2_048;

/**
 * Gathers what ended in a worker and is reported by the main thread: the facts of sampled exchanges, and decisions. One
 * batch is on its way at a time; what waits for it to be taken is bounded.
 */
export class ForwardedRecords implements Recorder {
  readonly #send: (records: WorkerRecords) => void;
  readonly #tally = new DecisionTally();
  readonly #wantsSpans: boolean;
  #spans: SpanFacts[] = [];
  #isOnItsWay = false;
  #timer: NodeJS.Timeout | undefined;
  #onSent: (() => void) | undefined;
  readonly #looking = setInterval(() => this.#schedule(), RULES_INTERVAL_MS).unref();
  /** Spans that were not handed over, because the main thread was too slow. */
  lost = 0;

  constructor(wantsSpans: boolean, send: (records: WorkerRecords) => void) {
    this.#wantsSpans = wantsSpans;
    this.#send = send;
  }

  /** Tells the matches of these rules, too. */
  countRules(tallies: RuleTallies): void {
    this.#tally.countRules(tallies);
  }

  record(exchange: Exchange, endedAt: number): void {
    this.#tally.record(exchange);
    if (this.#wantsSpans && exchange.trace.isSampled) {
      if (this.#spans.length < MAX_WAITING_EXCHANGES) this.#spans.push(spanFactsOf(exchange, endedAt));
      else this.lost += spansOf(exchange);
    }
    this.#schedule();
  }

  recordTcp(passage: TcpPassage): void {
    this.#tally.recordTcp(passage);
    this.#schedule();
  }

  recordConnection(decision: DecisionRecord): void {
    this.#tally.recordConnection(decision);
    this.#schedule();
  }

  /** The main thread has taken the batch. */
  taken(): void {
    this.#isOnItsWay = false;
    if (this.#onSent !== undefined) this.#flush();
    else this.#schedule();
  }

  /** Resolves once the main thread has all. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    clearInterval(this.#looking);
    const sent = Promise.withResolvers<void>();
    this.#onSent = sent.resolve;
    this.#flush();
    await sent.promise;
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#isOnItsWay || this.#isEmpty) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#flush();
    }, FORWARD_INTERVAL_MS);
  }

  #flush(): void {
    if (this.#isOnItsWay) return;
    if (this.#isEmpty) {
      this.#onSent?.();
      return;
    }
    this.#isOnItsWay = true;
    const spans = this.#spans;
    this.#spans = [];
    this.#send({ spans, decisions: this.#tally.take() });
  }

  get #isEmpty(): boolean {
    return this.#spans.length === 0 && this.#tally.isEmpty;
  }
}

/** A server span, and a client span where something was sent on. */
function spansOf(exchange: Exchange): number {
  return exchange.sentAt === 0 ? 1 : 2;
}
