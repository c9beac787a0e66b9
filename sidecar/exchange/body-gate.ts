import { Refusal } from '#policy/error/refusal.ts';
import type { FlatHeaders } from '#policy/http/flat-headers.ts';
import type { BodyPlan } from '#policy/workload-policy.ts';
import type { BodyConsumer, IncomingBody } from '../http/message.ts';
import type { Exchange } from './exchange.ts';
import type { BodySender } from './hold-body.ts';
import { mayRefuse } from './judge-body.ts';
import type { WaitingFor } from './passage.ts';

/**
 * Stands in the way of a body that is judged as it passes. A refusal ends the exchange, and the body on its other side; where nothing is enforced the
 * first finding is recorded, and all that follows passes.
 */
export abstract class BodyGate implements IncomingBody, BodyConsumer {
  readonly isPresent: boolean;
  readonly declaredLength: number | undefined;
  protected readonly exchange: Exchange;
  protected readonly source: IncomingBody;
  protected readonly sender: BodySender;
  protected consumer: BodyConsumer | undefined;
  /** Nothing more is looked at. */
  protected isOpen = false;
  protected isOver = false;
  readonly #plan: Pick<BodyPlan, 'isEnforced'>;

  constructor(exchange: Exchange, source: IncomingBody, plan: Pick<BodyPlan, 'isEnforced'>, sender: BodySender) {
    this.exchange = exchange;
    this.source = source;
    this.#plan = plan;
    this.sender = sender;
    this.isPresent = source.isPresent;
    this.declaredLength = source.declaredLength;
  }

  start(consumer: BodyConsumer): void {
    this.consumer = consumer;
    this.source.start(this);
  }

  pause(): void {
    this.source.pause();
  }

  resume(): void {
    this.source.resume();
  }

  cancel(): void {
    this.#end();
    this.source.cancel();
  }

  abstract onChunk(chunk: Buffer): void;

  abstract onEnd(trailers: FlatHeaders): void;

  onError(error: Error): void {
    if (this.isOver) return;
    this.#end();
    this.consumer?.onError(error);
  }

  /** Gives back what is held of the memory for bodies. */
  protected abstract release(): void;

  /** What it throws ends the exchange. */
  protected guarded(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.fail(error);
    }
  }

  protected fail(error: unknown): void {
    if (this.isOver) return;
    this.#end();
    this.source.cancel();
    const refusal = error instanceof Refusal ? error : new Refusal('internal_error', String(error));
    this.exchange.giveUp(refusal);
    if (this.sender === 'caller') this.consumer?.onError(refusal);
  }

  /** Goes on when a judgement, or the turn of others, is over. `waitingFor`: whom the exchange waits for then, as before. */
  protected continueAfter(until: Promise<void>, waitingFor: WaitingFor, step: () => void): void {
    until.then(
      () => {
        if (this.isOver) return;
        if (this.exchange.waitingFor === 'judgement') this.exchange.waitFor(waitingFor);
        this.guarded(step);
      },
      (error: unknown) => this.fail(error),
    );
  }

  /** The body came to its end, and all of it went on. */
  protected finish(trailers: FlatHeaders): void {
    this.#end();
    this.consumer?.onEnd(trailers);
  }

  /** The first finding is what is recorded: nothing is gained by looking further. */
  protected openIfFound(): void {
    if (!this.isEnforced && this.exchange.wouldRefuse !== undefined) this.isOpen = true;
  }

  /** What cannot be judged was not found valid; where nothing is enforced it passes, and all that follows it. */
  protected judgeNoMore(refusal: Refusal): void {
    if (this.isEnforced) throw refusal;
    this.exchange.audit({ code: refusal.code, reason: `not judged: ${refusal.reason}`, facts: {} });
    this.isOpen = true;
  }

  protected get isEnforced(): boolean {
    return mayRefuse(this.exchange, this.#plan);
  }

  #end(): void {
    this.isOver = true;
    this.release();
  }
}
