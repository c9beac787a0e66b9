import { type Client, type ClientWritableStream, Metadata } from '@grpc/grpc-js';
import type { RuleTallies } from '#policy/authorization/rule-tallies.ts';
import { type DecisionRecord, ObservationService, type ReportRequest } from '#proto/gen/lateral/v1/observation.ts';
import type { Exchange } from '../exchange/exchange.ts';
import type { Recorder } from '../exchange/record.ts';
import type { TcpPassage } from '../exchange/tcp-passage.ts';
import { DecisionTally, MAX_RULES_A_REPORT, RULES_INTERVAL_MS, type TalliedDecisions } from './decision-tally.ts';

/** A report leaves at most this often. */
export const REPORT_INTERVAL_MS = 1_000;
/** Tells the control plane what was decided: best effort, bounded, never in a request's way. */
export class DecisionReporter implements Recorder {
  readonly #sidecar: string;
  readonly #tally = new DecisionTally();
  #stream: ClientWritableStream<ReportRequest> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(sidecar: string) {
    this.#sidecar = sidecar;
  }

  record(exchange: Exchange): void {
    this.#tally.record(exchange);
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

  /** Takes what a worker has tallied. */
  absorb(tallied: TalliedDecisions): void {
    this.#tally.absorb(tallied);
    this.#schedule();
  }

  /** Tells the matches of these rules, too. */
  countRules(tallies: RuleTallies): void {
    this.#tally.countRules(tallies);
  }

  /** Sends over this connection from now on; returns the function that ends it. */
  attach(client: Client): () => void {
    const { path, requestSerialize, responseDeserialize } = ObservationService.report;
    const stream = client.makeClientStreamRequest(path, requestSerialize, responseDeserialize, new Metadata(), () => {
      // Ended by either side: whatever the reason, the next connection brings a new stream.
      if (this.#stream === stream) this.#stream = undefined;
    });
    stream.on('error', () => {});
    this.#stream = stream;
    this.#schedule();
    const looking = setInterval(() => this.#schedule(), RULES_INTERVAL_MS).unref();
    return () => {
      clearInterval(looking);
      if (this.#stream === stream) this.#stream = undefined;
      stream.cancel();
    };
  }

  /** Sends what is left, if it can be sent at once. */
  close(): void {
    clearTimeout(this.#timer);
    this.#flush();
    this.#stream?.end();
    this.#stream = undefined;
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#stream === undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#flush();
    }, REPORT_INTERVAL_MS);
    this.#timer.unref();
  }

  #flush(): void {
    const stream = this.#stream;
    if (stream === undefined || this.#tally.isEmpty) return;
    // A control plane that does not read gets no more: what waits is bounded, the rest is dropped.
    if (stream.writableNeedDrain) {
      this.#schedule();
      return;
    }
    const report = this.#tally.take();
    stream.write({ sidecar: this.#sidecar, ...report });
    if (report.rules.length >= MAX_RULES_A_REPORT) this.#schedule();
  }
}
