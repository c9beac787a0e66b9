import { Refusal } from '#policy/error/refusal.ts';
import type { FlatHeaders } from '#policy/http/flat-headers.ts';
import { FormStream } from '#policy/validation/decode/form-stream.ts';
import type { BodyPlan, FormPlan } from '#policy/workload-policy.ts';
import { joinBytes } from '../http/join-bytes.ts';
import type { BodyConsumer, IncomingBody } from '../http/message.ts';
import type { Exchange } from './exchange.ts';
import { MAX_BUFFERED_BYTES, releaseBytes, reserveBytes } from './hold-body.ts';
import { judgeWhole, mayRefuse, settle } from './judge-body.ts';

/**
 * A form whose files stream: what they hold goes on as it comes, all else too but the boundary that ends the form, which goes on when the form
 * without its files was judged. A refusal ends the request to the app before its form is whole. Where nothing is enforced all passes as it comes,
 * and what is found is recorded.
 */
export class FormGate implements IncomingBody, BodyConsumer {
  readonly isPresent: boolean;
  readonly declaredLength: number | undefined;
  readonly #exchange: Exchange;
  readonly #source: IncomingBody;
  readonly #plan: BodyPlan;
  readonly #formPlan: FormPlan;
  readonly #stream: FormStream;
  #consumer: BodyConsumer | undefined;
  /** Nothing more is looked at. */
  #isOpen = false;
  #isOver = false;
  /** Of the memory for bodies. */
  #reserved = 0;

  constructor(exchange: Exchange, source: IncomingBody, plan: BodyPlan, formPlan: FormPlan) {
    this.#exchange = exchange;
    this.#source = source;
    this.#plan = plan;
    this.#formPlan = formPlan;
    this.#stream = new FormStream(formPlan.boundary, formPlan.isFile);
    this.isPresent = source.isPresent;
    this.declaredLength = source.declaredLength;
  }

  start(consumer: BodyConsumer): void {
    this.#consumer = consumer;
    this.#source.start(this);
  }

  pause(): void {
    this.#source.pause();
  }

  resume(): void {
    this.#source.resume();
  }

  cancel(): void {
    this.#end();
    this.#source.cancel();
  }

  onChunk(chunk: Buffer): void {
    if (this.#isOver) return;
    if (this.#isOpen) this.#consumer?.onChunk(chunk);
    else this.#guarded(() => this.#take(chunk));
  }

  onEnd(trailers: FlatHeaders): void {
    if (this.#isOver) return;
    if (this.#isOpen) this.#finish(trailers);
    else this.#guarded(() => this.#judge(trailers));
  }

  onError(error: Error): void {
    if (this.#isOver) return;
    this.#end();
    this.#consumer?.onError(error);
  }

  #guarded(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (this.#isOver) return;
    this.#end();
    this.#source.cancel();
    const refusal = error instanceof Refusal ? error : new Refusal('internal_error', String(error));
    this.#exchange.giveUp(refusal);
    this.#consumer?.onError(refusal);
  }

  #take(chunk: Buffer): void {
    const stream = this.#stream;
    const passable = stream.take(chunk);
    const { fault } = stream;
    if (fault !== undefined) settle(this.#exchange, this.#formPlan.malformed(fault));
    else if (stream.form.size > this.#plan.maxBytes) settle(this.#exchange, [this.#plan.tooLarge(stream.form.size)]);
    else if (stream.fileBytes > this.#formPlan.maxFileBytes) {
      settle(this.#exchange, [this.#formPlan.tooLarge(stream.fileBytes)]);
    } else if (!this.#reserve(stream.form.size + stream.held.length)) this.#withoutMemory();
    this.#openIfFound();
    if (!this.#isEnforced) this.#consumer?.onChunk(chunk);
    else if (passable.length > 0) this.#consumer?.onChunk(passable);
  }

  #reserve(bytes: number): boolean {
    if (bytes > this.#reserved) {
      if (!reserveBytes(bytes - this.#reserved)) return false;
      this.#reserved = bytes;
    }
    return true;
  }

  /** What cannot be judged was not found valid; where nothing is enforced it passes. */
  #withoutMemory(): void {
    const reason = `forms and bodies in memory exceed maxBufferedBytes ${MAX_BUFFERED_BYTES}`;
    if (this.#isEnforced) throw new Refusal('overloaded', reason);
    this.#exchange.audit({ code: 'overloaded', reason: `not judged: ${reason}`, facts: {} });
  }

  #judge(trailers: FlatHeaders): void {
    const fault = this.#stream.finish();
    if (fault !== undefined) {
      settle(this.#exchange, this.#formPlan.malformed(fault));
      this.#finish(trailers);
      return;
    }
    const { waitingFor } = this.#exchange;
    const judging = this.#judgeForm();
    if (judging === undefined) {
      this.#finish(trailers);
      return;
    }
    judging.then(
      () => {
        if (this.#isOver) return;
        if (this.#exchange.waitingFor === 'judgement') this.#exchange.waitFor(waitingFor);
        this.#guarded(() => this.#finish(trailers));
      },
      (error: unknown) => this.#fail(error),
    );
  }

  #judgeForm(): Promise<void> | undefined {
    const form = joinBytes(this.#stream.form);
    if (Buffer.isBuffer(form)) return judgeWhole(this.#exchange, form, this.#plan);
    return form.then((joined) => judgeWhole(this.#exchange, joined, this.#plan));
  }

  #finish(trailers: FlatHeaders): void {
    const { held } = this.#stream;
    if (this.#isEnforced && !this.#isOpen && held.length > 0) this.#consumer?.onChunk(held);
    this.#end();
    this.#consumer?.onEnd(trailers);
  }

  #end(): void {
    this.#isOver = true;
    releaseBytes(this.#reserved);
    this.#reserved = 0;
  }

  /** The first finding is what is recorded: nothing is gained by looking further. */
  #openIfFound(): void {
    if (this.#isEnforced || this.#exchange.wouldRefuse === undefined) return;
    this.#isOpen = true;
    releaseBytes(this.#reserved);
    this.#reserved = 0;
  }

  get #isEnforced(): boolean {
    return mayRefuse(this.#exchange, this.#plan);
  }
}
