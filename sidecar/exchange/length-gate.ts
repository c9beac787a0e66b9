import type { FlatHeaders } from '#policy/http/flat-headers.ts';
import type { LengthPlan } from '#policy/workload-policy.ts';
import type { IncomingBody } from '../http/message.ts';
import { BodyGate } from './body-gate.ts';
import type { Exchange } from './exchange.ts';
import { settle } from './judge-body.ts';

/** A body that nobody looks at, of a length that nobody told: it goes on as it comes, and ends where it grows too long. */
export class LengthGate extends BodyGate {
  readonly #plan: LengthPlan;
  #size = 0;

  constructor(exchange: Exchange, source: IncomingBody, plan: LengthPlan) {
    super(exchange, source, plan, 'caller');
    this.#plan = plan;
  }

  override onChunk(chunk: Buffer): void {
    if (this.isOver) return;
    this.#size += chunk.length;
    if (!this.isOpen && this.#size > this.#plan.maxBytes) this.guarded(() => this.#tooLong());
    if (!this.isOver) this.consumer?.onChunk(chunk);
  }

  override onEnd(trailers: FlatHeaders): void {
    if (!this.isOver) this.finish(trailers);
  }

  protected override release(): void {} // it holds nothing

  #tooLong(): void {
    settle(this.exchange, [this.#plan.tooLarge(this.#size)]);
    this.openIfFound();
  }
}
