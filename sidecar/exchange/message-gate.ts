import { Refusal } from '#policy/error/refusal.ts';
import type { FlatHeaders } from '#policy/http/flat-headers.ts';
import type { BodyFault } from '#policy/validation/judge-body.ts';
import { COMPRESSED, endFault, PREFIX_BYTES, prefixFault } from '#policy/validation/protobuf/message-frames.ts';
import type { BodyPlan, MessagePlan } from '#policy/workload-policy.ts';
import type { BodyConsumer, IncomingBody } from '../http/message.ts';
import type { Exchange } from './exchange.ts';
import {
  type BodySender,
  BUFFERED_BODY_TIMEOUT_MS,
  MAX_BUFFERED_BYTES,
  releaseBytes,
  reserveBytes,
} from './hold-body.ts';
import { judgeWhole, settle } from './judge-body.ts';

/**
 * The messages of a gRPC call in one direction: each goes on when it is whole and was judged, in the order they came, bytes as they are. What comes in
 * one read goes on within it. The call ends with the first message that is refused; where nothing is enforced the first finding is recorded,
 * and all that follows passes.
 */
export class MessageGate implements IncomingBody, BodyConsumer {
  readonly isPresent: boolean;
  readonly declaredLength: number | undefined;
  readonly #exchange: Exchange;
  readonly #source: IncomingBody;
  readonly #plan: MessagePlan;
  readonly #sender: BodySender;
  #consumer: BodyConsumer | undefined;
  /** Nothing more is looked at. */
  #isOpen = false;
  #isOver = false;
  /** What came of a message that is not whole, its prefix included. */
  #held: Buffer[] = [];
  #heldBytes = 0;
  /** Bytes of the message that is held, its prefix included; 0: not known yet. */
  #wanted = 0;
  #timer: NodeJS.Timeout | undefined;
  /** What came while a message is judged elsewhere. */
  #waiting: Buffer[] | undefined;
  #trailers: FlatHeaders | undefined;
  #isPaused = false;
  #messages = 0;

  constructor(exchange: Exchange, source: IncomingBody, plan: MessagePlan, sender: BodySender) {
    this.#exchange = exchange;
    this.#source = source;
    this.#plan = plan;
    this.#sender = sender;
    this.isPresent = source.isPresent;
    this.declaredLength = source.declaredLength;
  }

  start(consumer: BodyConsumer): void {
    this.#consumer = consumer;
    this.#source.start(this);
  }

  pause(): void {
    this.#isPaused = true;
    this.#source.pause();
  }

  resume(): void {
    this.#isPaused = false;
    if (this.#waiting === undefined) this.#source.resume();
  }

  cancel(): void {
    this.#end();
    this.#source.cancel();
  }

  onChunk(chunk: Buffer): void {
    if (this.#isOver) return;
    if (this.#waiting !== undefined) this.#keep(chunk, this.#waiting);
    else if (this.#isOpen) this.#consumer?.onChunk(chunk);
    else this.#guarded(() => this.#take(chunk));
  }

  onEnd(trailers: FlatHeaders): void {
    if (this.#isOver) return;
    this.#trailers = trailers;
    if (this.#waiting === undefined) this.#guarded(() => this.#finish(trailers));
  }

  onError(error: Error): void {
    if (this.#isOver) return;
    this.#end();
    this.#consumer?.onError(error);
  }

  /** A refusal ends the call. */
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
    if (this.#sender === 'caller') this.#consumer?.onError(refusal);
  }

  #end(): void {
    this.#isOver = true;
    this.#forget();
    releaseBytes(sizeOf(this.#waiting ?? []));
    this.#waiting = undefined;
  }

  /** Whole messages of a chunk pass in one piece; what is left of it is held. */
  #take(chunk: Buffer): void {
    let at = this.#heldBytes === 0 ? 0 : this.#fill(chunk);
    let from = at;
    while (!this.#isOpen && this.#waiting === undefined && !this.#isOver && chunk.length - at >= PREFIX_BYTES) {
      const end = at + PREFIX_BYTES + this.#lengthAt(chunk, at);
      if (this.#isOpen) break;
      if (end > chunk.length) {
        this.#wanted = end - at;
        break;
      }
      const framed = chunk.subarray(at, end);
      // undone by other threads, which read it later than the chunk is good for
      const judging = this.#judge(framed[0] === COMPRESSED ? Buffer.from(framed) : framed);
      if (judging !== undefined) {
        this.#pass(chunk.subarray(from, at));
        this.#await(judging, framed);
        from = end;
      }
      at = end;
    }
    if (this.#waiting !== undefined) {
      if (from < chunk.length) this.#keep(chunk.subarray(from), this.#waiting);
      return;
    }
    const to = this.#isOpen ? chunk.length : at;
    this.#pass(chunk.subarray(from, to));
    if (to < chunk.length) this.#hold(chunk.subarray(to));
  }

  /** Adds to the message that is held; passes it on when it is whole. Returns how much of the chunk was taken. */
  #fill(chunk: Buffer): number {
    let at = 0;
    if (this.#wanted === 0) {
      at = Math.min(PREFIX_BYTES - this.#heldBytes, chunk.length);
      this.#hold(chunk.subarray(0, at));
      if (this.#wanted === 0 || this.#isOpen) return at;
    }
    const end = Math.min(at + this.#wanted - this.#heldBytes, chunk.length);
    if (end > at) this.#hold(chunk.subarray(at, end));
    if (this.#isOpen || this.#heldBytes < this.#wanted) return end;
    const message = Buffer.concat(this.#held);
    const judging = this.#judge(message);
    this.#forget();
    if (judging === undefined) this.#pass(message);
    else this.#await(judging, message);
    return end;
  }

  #hold(bytes: Buffer): void {
    if (!reserveBytes(bytes.length)) {
      this.#withoutMemory(bytes);
      return;
    }
    this.#held.push(Buffer.from(bytes));
    this.#heldBytes += bytes.length;
    this.#exchange.progressedAt = performance.now();
    this.#timer ??= setTimeout(() => this.#guarded(() => this.#tooSlow()), BUFFERED_BODY_TIMEOUT_MS).unref();
    if (this.#wanted > 0 || this.#heldBytes < PREFIX_BYTES) return;
    const prefix = this.#held.length === 1 ? (this.#held[0] as Buffer) : Buffer.concat(this.#held);
    const length = this.#lengthAt(prefix, 0);
    if (this.#isOpen) this.#passHeld();
    else this.#wanted = PREFIX_BYTES + length;
  }

  #withoutMemory(bytes: Buffer): void {
    const reason = `messages and bodies in memory exceed maxBufferedBytes ${MAX_BUFFERED_BYTES}`;
    if (this.#isEnforced) throw new Refusal('overloaded', reason);
    this.#exchange.audit({ code: 'overloaded', reason: `the message was not judged: ${reason}`, facts: {} });
    this.#isOpen = true;
    this.#passHeld();
    this.#pass(bytes);
  }

  #tooSlow(): void {
    const reason = `a message did not come within bufferedBodyTimeoutMs ${BUFFERED_BODY_TIMEOUT_MS}`;
    throw new Refusal(this.#sender === 'caller' ? 'request_timeout' : 'upstream_timeout', reason);
  }

  /** The length that a prefix says, when a message of it may come at all. */
  #lengthAt(bytes: Buffer, at: number): number {
    const flag = bytes[at] as number;
    const length = bytes.readUInt32BE(at + 1);
    this.#messages += 1;
    const { plain } = this.#plan;
    const fault = prefixFault(flag, this.#messages, this.#plan);
    if (fault !== undefined) this.#found(fault);
    else if (length > plain.maxBytes) {
      settle(this.#exchange, [plain.tooLarge(length)]);
      this.#openIfFound();
    }
    return length;
  }

  /** Of a message with its prefix; undefined: it passes. */
  #judge(framed: Buffer): Promise<void> | undefined {
    const judging = judgeWhole(this.#exchange, framed.subarray(PREFIX_BYTES), this.#planOf(framed));
    if (judging === undefined) this.#openIfFound();
    return judging;
  }

  #planOf(framed: Buffer): BodyPlan {
    const { plain, coded } = this.#plan;
    return framed[0] === COMPRESSED && coded !== undefined ? coded : plain;
  }

  /** Keeps what comes until a message was judged. */
  #await(judging: Promise<void>, message: Buffer): void {
    const { waitingFor } = this.#exchange;
    this.#waiting = [];
    this.#keep(message, this.#waiting);
    if (this.#isOver) return;
    this.#source.pause();
    judging.then(
      () => {
        if (this.#isOver) return;
        if (this.#exchange.waitingFor === 'judgement') this.#exchange.waitFor(waitingFor);
        this.#openIfFound();
        this.#guarded(() => this.#goOn());
      },
      (error: unknown) => this.#fail(error),
    );
  }

  /** The first of what waits is the message that was judged. */
  #goOn(): void {
    const [message, ...waiting] = this.#waiting ?? [];
    this.#waiting = undefined;
    releaseBytes(message?.length ?? 0);
    if (message !== undefined) this.#pass(message);
    while (waiting.length > 0 && !this.#isOver) {
      const chunk = waiting.shift() as Buffer;
      releaseBytes(chunk.length);
      if (this.#waiting !== undefined) this.#keep(chunk, this.#waiting);
      else if (this.#isOpen) this.#pass(chunk);
      else this.#take(chunk);
    }
    releaseBytes(sizeOf(waiting)); // of a call that ended meanwhile
    if (this.#waiting !== undefined || this.#isOver) return;
    if (this.#trailers !== undefined) this.#finish(this.#trailers);
    else if (!this.#isPaused) this.#source.resume();
  }

  /** The source is paused: what is still under way comes to at most its window. */
  #keep(chunk: Buffer, waiting: Buffer[]): void {
    if (!reserveBytes(chunk.length)) {
      this.#fail(new Refusal('overloaded', `messages in memory exceed maxBufferedBytes ${MAX_BUFFERED_BYTES}`));
      return;
    }
    waiting.push(Buffer.from(chunk));
  }

  #finish(trailers: FlatHeaders): void {
    const isAnswer = this.#sender === 'upstream';
    const fault = this.#isOpen ? undefined : endFault(this.#heldBytes, this.#messages, isAnswer, this.#plan);
    if (fault !== undefined) this.#found(fault);
    this.#passHeld();
    this.#end();
    this.#consumer?.onEnd(trailers);
  }

  #found(fault: BodyFault): void {
    settle(this.#exchange, this.#plan.plain.found(fault));
    this.#openIfFound();
  }

  /** The first finding is what is recorded: nothing is gained by looking further. */
  #openIfFound(): void {
    if (!this.#isEnforced && this.#exchange.wouldRefuse !== undefined) this.#isOpen = true;
  }

  get #isEnforced(): boolean {
    return this.#plan.plain.isEnforced && this.#exchange.policy.defaults.mode === 'Enforce';
  }

  #passHeld(): void {
    const held = this.#held;
    this.#forget();
    for (const bytes of held) this.#pass(bytes);
  }

  #forget(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    releaseBytes(this.#heldBytes);
    this.#held = [];
    this.#heldBytes = 0;
    this.#wanted = 0;
  }

  #pass(bytes: Buffer): void {
    if (bytes.length > 0 && !this.#isOver) this.#consumer?.onChunk(bytes);
  }
}

function sizeOf(chunks: readonly Buffer[]): number {
  return chunks.reduce((sum, { length }) => sum + length, 0);
}
