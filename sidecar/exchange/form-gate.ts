import { Refusal } from '#policy/error/refusal.ts';
import type { FlatHeaders } from '#policy/http/flat-headers.ts';
import { FormStream } from '#policy/validation/decode/form-stream.ts';
import type { BodyPlan, FormPlan } from '#policy/workload-policy.ts';
import { joinBytes } from '../http/join-bytes.ts';
import type { IncomingBody } from '../http/message.ts';
import { BodyGate } from './body-gate.ts';
import type { Exchange } from './exchange.ts';
import { MAX_BUFFERED_BYTES, releaseBytes, reserveBytes } from './hold-body.ts';
import { judgeWhole, settle } from './judge-body.ts';

/**
 * A form whose files stream: what they hold goes on as it comes, all else too but the boundary that ends the form, which goes on when the form
 * without its files was judged. A refusal ends the request to the app before its form is whole. Where nothing is enforced all passes as it comes,
 * and what is found is recorded.
 */
export class FormGate extends BodyGate {
  readonly #plan: BodyPlan;
  readonly #formPlan: FormPlan;
  readonly #stream: FormStream;
  /** Of the memory for bodies. */
  #reserved = 0;

  constructor(exchange: Exchange, source: IncomingBody, plan: BodyPlan, formPlan: FormPlan) {
    super(exchange, source, plan, 'caller');
    this.#plan = plan;
    this.#formPlan = formPlan;
    this.#stream = new FormStream(formPlan.boundary, formPlan.isFile);
  }

  override onChunk(chunk: Buffer): void {
    if (this.isOver) return;
    if (this.isOpen) this.consumer?.onChunk(chunk);
    else this.guarded(() => this.#take(chunk));
  }

  override onEnd(trailers: FlatHeaders): void {
    if (this.isOver) return;
    if (this.isOpen) this.finish(trailers);
    else this.guarded(() => this.#judge(trailers));
  }

  protected override release(): void {
    releaseBytes(this.#reserved);
    this.#reserved = 0;
  }

  #take(chunk: Buffer): void {
    const stream = this.#stream;
    const passable = stream.take(chunk);
    const { fault } = stream;
    if (fault !== undefined) settle(this.exchange, this.#formPlan.malformed(fault));
    else if (stream.form.size > this.#plan.maxBytes) settle(this.exchange, [this.#plan.tooLarge(stream.form.size)]);
    else if (stream.fileBytes > this.#formPlan.maxFileBytes) {
      settle(this.exchange, [this.#formPlan.tooLarge(stream.fileBytes)]);
    } else if (!this.#reserve(stream.form.size + stream.held.length)) this.judgeNoMore(noMemory());
    this.openIfFound();
    if (this.isOpen) this.release();
    const going = this.isEnforced ? passable : chunk;
    if (going.length > 0) this.consumer?.onChunk(going);
  }

  #reserve(bytes: number): boolean {
    if (bytes > this.#reserved) {
      if (!reserveBytes(bytes - this.#reserved)) return false;
      this.#reserved = bytes;
    }
    return true;
  }

  #judge(trailers: FlatHeaders): void {
    const fault = this.#stream.finish();
    if (fault !== undefined) {
      settle(this.exchange, this.#formPlan.malformed(fault));
      this.#passRest(trailers);
      return;
    }
    const { waitingFor } = this.exchange;
    const judging = this.#judgeForm();
    if (judging === undefined) this.#passRest(trailers);
    else this.continueAfter(judging, waitingFor, () => this.#passRest(trailers));
  }

  #judgeForm(): Promise<void> | undefined {
    const form = joinBytes(this.#stream.form);
    if (Buffer.isBuffer(form)) return judgeWhole(this.exchange, form, this.#plan);
    return form.then((joined) => judgeWhole(this.exchange, joined, this.#plan));
  }

  #passRest(trailers: FlatHeaders): void {
    const { held } = this.#stream;
    if (this.isEnforced && held.length > 0) this.consumer?.onChunk(held);
    this.finish(trailers);
  }
}

function noMemory(): Refusal {
  return new Refusal('overloaded', `forms and bodies in memory exceed maxBufferedBytes ${MAX_BUFFERED_BYTES}`);
}
