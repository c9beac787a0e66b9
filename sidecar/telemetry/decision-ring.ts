import type { DecisionRecord } from '#proto/gen/lateral/v1/observation.ts';
import { decisionRecordOf, decisionRecordOfTcp, type TalliedDecisions } from '../control/decision-tally.ts';
import type { Exchange } from '../exchange/exchange.ts';
import type { Recorder } from '../exchange/record.ts';
import type { TcpPassage } from '../exchange/tcp-passage.ts';

/** Decisions that a sidecar keeps for its operator: the last ones. */
export const MAX_RING_DECISIONS = 256;

/** What was refused, or would have been, of late. A new one takes the place of the oldest. */
export class DecisionRing implements Recorder {
  /** As text: of a request no more than this is held. */
  readonly #kept: string[] = [];
  #next = 0;

  record(exchange: Exchange): void {
    if (exchange.decision !== 'allow') this.#keep(decisionRecordOf(exchange));
  }

  recordTcp(passage: TcpPassage): void {
    if (passage.decision !== 'allow') this.#keep(decisionRecordOfTcp(passage));
  }

  recordConnection(decision: DecisionRecord): void {
    this.#keep(decision);
  }

  /** Takes what a worker has tallied. */
  absorb({ decisions }: TalliedDecisions): void {
    for (const decision of decisions) this.#keep(decision);
  }

  /** Latest last. */
  get decisions(): unknown[] {
    return [...this.#kept.slice(this.#next), ...this.#kept.slice(0, this.#next)].map((text) => JSON.parse(text));
  }

  #keep(decision: DecisionRecord): void {
    this.#kept[this.#next] = JSON.stringify(decision);
    this.#next = (this.#next + 1) % MAX_RING_DECISIONS;
  }
}
