import { type Client, type ClientWritableStream, Metadata } from '@grpc/grpc-js';
import {
  type Count,
  type DecisionRecord,
  ObservationService,
  type ReportRequest,
} from '#proto/gen/lateral/v1/observation.ts';
import type { Exchange } from '../exchange/exchange.ts';
import type { Passage } from '../exchange/passage.ts';
import type { Recorder } from '../exchange/record.ts';
import type { TcpPassage } from '../exchange/tcp-passage.ts';

/** Decisions that wait to be sent; more are dropped, and their number is reported. */
export const MAX_BUFFERED_DECISIONS = 1_000;
/** Different counts that wait to be sent; requests beyond are counted under the peer `other`. */
export const MAX_BUFFERED_COUNTS = 1_000;
/** A report leaves at most this often. */
export const REPORT_INTERVAL_MS = 1_000;
/** Longest path and reason in a report. */
const MAX_TEXT_LENGTH = 2_048;

/** What a count is kept by. */
export type CountedBy = Omit<Count, 'requests'>;

/** Tells the control plane what was decided: best effort, bounded, never in a request's way. */
export class DecisionReporter implements Recorder {
  readonly #sidecar: string;
  readonly #counts = new Map<string, Count>();
  #decisions: DecisionRecord[] = [];
  #droppedDecisions = 0;
  #stream: ClientWritableStream<ReportRequest> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(sidecar: string) {
    this.#sidecar = sidecar;
  }

  /** Every exchange is counted; those that were refused, or would have been, are reported one by one. */
  record(exchange: Exchange): void {
    this.#count(exchange);
    if (exchange.decision === 'allow') return;
    this.report({
      ...decisionOf(exchange),
      method: exchange.server.head.method,
      host: exchange.host ?? '',
      path: (exchange.path ?? '').slice(0, MAX_TEXT_LENGTH),
      status: exchange.status,
      traceId: exchange.trace.traceId,
    });
  }

  /** The same for TCP connections, which have nothing of HTTP. */
  recordTcp(passage: TcpPassage): void {
    this.#count(passage);
    if (passage.decision === 'allow') return;
    this.report({ ...decisionOf(passage), method: '', host: '', path: '', status: 0, traceId: '' });
  }

  #count(passage: Passage): void {
    const { direction, decision, code } = passage;
    const peer = (direction === 'inbound' ? passage.source?.uri : passage.destination) ?? '';
    this.count({ direction, peer, decision, code });
  }

  report(decision: DecisionRecord): void {
    if (this.#decisions.length >= MAX_BUFFERED_DECISIONS) this.#droppedDecisions++;
    else this.#decisions.push(decision);
    this.#schedule();
  }

  count(by: CountedBy): void {
    const key = `${by.direction} ${by.decision} ${by.code} ${by.peer}`;
    const known = this.#counts.get(key);
    if (known !== undefined) known.requests++;
    else if (this.#counts.size < MAX_BUFFERED_COUNTS || by.peer === 'other')
      this.#counts.set(key, { ...by, requests: 1 });
    else this.count({ ...by, peer: 'other' });
    this.#schedule();
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
    return () => {
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
    const isEmpty = this.#decisions.length === 0 && this.#counts.size === 0 && this.#droppedDecisions === 0;
    if (stream === undefined || isEmpty) return;
    // A control plane that does not read gets no more: what waits is bounded, the rest is dropped.
    if (stream.writableNeedDrain) {
      this.#schedule();
      return;
    }
    stream.write({
      sidecar: this.#sidecar,
      decisions: this.#decisions,
      counts: [...this.#counts.values()],
      droppedDecisions: this.#droppedDecisions,
    });
    this.#decisions = [];
    this.#counts.clear();
    this.#droppedDecisions = 0;
  }
}

type DecisionOfPassage = Omit<DecisionRecord, 'method' | 'host' | 'path' | 'status' | 'traceId'>;

function decisionOf(passage: Passage): DecisionOfPassage {
  return {
    decisionId: passage.decisionId,
    timeMs: passage.startedAtMs,
    direction: passage.direction,
    decision: passage.decision,
    code: passage.code,
    source: passage.source?.uri ?? '',
    destination: passage.destination ?? '',
    policy: passage.policyName ?? '',
    rule: passage.rule ?? -1,
    reason: passage.reason.slice(0, MAX_TEXT_LENGTH),
  };
}
