import { Refusal } from '#policy/error/refusal.ts';
import type { FlatHeaders } from '#policy/http/flat-headers.ts';
import type { BodyFault } from '#policy/validation/body-fault.ts';
import { COMPRESSED, endFault, PREFIX_BYTES, prefixFault } from '#policy/validation/protobuf/message-frames.ts';
import type { BodyPlan, MessagePlan } from '#policy/workload-policy.ts';
import type { IncomingBody } from '../http/message.ts';
import { BodyGate } from './body-gate.ts';
import type { Exchange } from './exchange.ts';
import {
  type BodySender,
  BUFFERED_BODY_TIMEOUT_MS,
  MAX_BUFFERED_BYTES,
  releaseBytes,
  reserveBytes,
} from './hold-body.ts';
import { judgeWhole, settle } from './judge-body.ts';
import type { WaitingFor } from './passage.ts';

const EMPTY = Buffer.alloc(0);
/** Of the buffer that holds a part of a message at first. */
const MIN_HELD_BYTES = 256;
/** After so long others have their turn: ten thousand small messages may come in one read. */
const MAX_TURN_MS = 4;

/**
 * The messages of a gRPC call in one direction: each goes on when it is whole and was judged, in the order they came, bytes as they are. What comes in
 * one read goes on within it. The call ends with the first message that is refused; where nothing is enforced the first finding is recorded,
 * and all that follows passes.
 */
export class MessageGate extends BodyGate {
  readonly #plan: MessagePlan;
  /** What came of a message that is not whole, its prefix included: `#heldBytes` of a buffer that grows. */
  #held = EMPTY;
  #heldBytes = 0;
  /** Bytes of the message that is held, its prefix included; 0: not known yet. */
  #wanted = 0;
  #timer: NodeJS.Timeout | undefined;
  /** What came while a message is judged elsewhere, or others have their turn. */
  #waiting: Buffer[] | undefined;
  /** The message that is judged elsewhere. */
  #judged: Buffer | undefined;
  #trailers: FlatHeaders | undefined;
  #isPaused = false;
  #messages = 0;

  constructor(exchange: Exchange, source: IncomingBody, plan: MessagePlan, sender: BodySender) {
    super(exchange, source, plan.plain, sender);
    this.#plan = plan;
  }

  override pause(): void {
    this.#isPaused = true;
    // an app that reads no further makes its caller wait; a caller that does keeps the memory of others
    if (this.sender === 'caller') this.#stopTimer();
    this.source.pause();
  }

  override resume(): void {
    this.#isPaused = false;
    if (this.#heldBytes > 0) this.#startTimer();
    if (this.#waiting === undefined) this.source.resume();
  }

  override onChunk(chunk: Buffer): void {
    if (this.isOver) return;
    if (this.#waiting !== undefined) this.#keep(chunk, this.#waiting);
    else if (this.isOpen) this.consumer?.onChunk(chunk);
    else this.guarded(() => this.#take(chunk));
  }

  override onEnd(trailers: FlatHeaders): void {
    if (this.isOver) return;
    this.#trailers = trailers;
    if (this.#waiting === undefined) this.guarded(() => this.#judgeEnd(trailers));
  }

  protected override release(): void {
    this.#forget();
    releaseBytes(sizeOf(this.#waiting ?? []) + (this.#judged?.length ?? 0));
    this.#waiting = undefined;
    this.#judged = undefined;
  }

  /** Whole messages of a chunk pass in one piece; what is left of it is held. `isKept`: it is not only lent. */
  #take(chunk: Buffer, isKept = false): void {
    let at = this.#heldBytes === 0 ? 0 : this.#fill(chunk);
    let from = at;
    const begun = performance.now();
    while (!this.isOpen && this.#waiting === undefined && !this.isOver && chunk.length - at >= PREFIX_BYTES) {
      const end = at + PREFIX_BYTES + this.#lengthAt(chunk, at);
      if (this.isOpen) break;
      if (end > chunk.length) {
        this.#wanted = end - at;
        break;
      }
      const framed = chunk.subarray(at, end);
      // undone by other threads, which read it later than the chunk is good for
      const { waitingFor } = this.exchange;
      const judging = this.#judge(framed[0] === COMPRESSED ? Buffer.from(framed) : framed);
      if (judging !== undefined) {
        this.#pass(chunk.subarray(from, at));
        this.#await(judging, waitingFor, framed);
        from = end;
      } else if (end < chunk.length && performance.now() - begun > MAX_TURN_MS) {
        this.#pass(chunk.subarray(from, end));
        this.#await(othersTurn(), waitingFor);
        from = end;
      }
      at = end;
    }
    if (this.isOver) return;
    if (this.#waiting !== undefined) {
      if (from < chunk.length) this.#keep(chunk.subarray(from), this.#waiting, isKept);
      return;
    }
    const to = this.isOpen ? chunk.length : at;
    this.#pass(chunk.subarray(from, to));
    if (to < chunk.length) this.#hold(chunk.subarray(to));
  }

  /** Adds to the message that is held; passes it on when it is whole. Returns how much of the chunk was taken. */
  #fill(chunk: Buffer): number {
    let at = 0;
    if (this.#wanted === 0) {
      at = Math.min(PREFIX_BYTES - this.#heldBytes, chunk.length);
      this.#hold(chunk.subarray(0, at));
      if (this.#wanted === 0 || this.isOpen) return at;
    }
    const end = Math.min(at + this.#wanted - this.#heldBytes, chunk.length);
    if (end > at) this.#hold(chunk.subarray(at, end));
    if (this.isOpen || this.#heldBytes < this.#wanted) return end;
    const message = this.#held.subarray(0, this.#heldBytes);
    const { waitingFor } = this.exchange;
    const judging = this.#judge(message);
    this.#forget();
    if (judging === undefined) this.#pass(message);
    else this.#await(judging, waitingFor, message);
    return end;
  }

  #hold(bytes: Buffer): void {
    if (this.isOver) return;
    if (!this.#makeRoom(this.#heldBytes + bytes.length)) {
      this.#withoutMemory(bytes);
      return;
    }
    bytes.copy(this.#held, this.#heldBytes);
    this.#heldBytes += bytes.length;
    this.exchange.progressedAt = performance.now();
    if (!this.#isPaused || this.sender === 'upstream') this.#startTimer();
    if (this.#wanted > 0 || this.#heldBytes < PREFIX_BYTES) return;
    const length = this.#lengthAt(this.#held, 0);
    if (this.isOpen) this.#passHeld();
    else this.#wanted = PREFIX_BYTES + length;
  }

  #startTimer(): void {
    this.#timer ??= setTimeout(() => this.guarded(() => this.#tooSlow()), BUFFERED_BODY_TIMEOUT_MS).unref();
  }

  #stopTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Memory is taken as a message comes, not as it says it will: who says much and sends little keeps none from others. */
  #makeRoom(size: number): boolean {
    const { length } = this.#held;
    if (size <= length) return true;
    const doubled = Math.max(size, 2 * length, MIN_HELD_BYTES);
    const room = this.#wanted > 0 ? Math.min(doubled, this.#wanted) : doubled;
    if (!reserveBytes(room - length)) return false;
    const larger = Buffer.allocUnsafeSlow(room);
    this.#held.copy(larger, 0, 0, this.#heldBytes);
    this.#held = larger;
    return true;
  }

  #withoutMemory(bytes: Buffer): void {
    this.judgeNoMore(noMemory());
    this.#passHeld();
    this.#pass(bytes);
  }

  #tooSlow(): void {
    const reason = `a message did not come within bufferedBodyTimeoutMs ${BUFFERED_BODY_TIMEOUT_MS}`;
    this.judgeNoMore(new Refusal(this.sender === 'caller' ? 'request_timeout' : 'upstream_timeout', reason));
    this.#passHeld();
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
      settle(this.exchange, [plain.tooLarge(length)]);
      this.openIfFound();
    }
    return length;
  }

  /** Of a message with its prefix; undefined: it passes. */
  #judge(framed: Buffer): Promise<void> | undefined {
    const judging = judgeWhole(this.exchange, framed.subarray(PREFIX_BYTES), this.#planOf(framed));
    if (judging === undefined) this.openIfFound();
    return judging;
  }

  #planOf(framed: Buffer): BodyPlan {
    const { plain, coded } = this.#plan;
    return framed[0] === COMPRESSED && coded !== undefined ? coded : plain;
  }

  /** Keeps what comes until a message was judged, or it is this one's turn again. `waitingFor`: whom the call waits for then, as before. */
  #await(until: Promise<void>, waitingFor: WaitingFor, message: Buffer = EMPTY): void {
    this.continueAfter(until, waitingFor, () => {
      if (this.#waiting === undefined) return; // nobody waited for it: there was no memory
      this.openIfFound();
      this.#goOn();
    });
    if (!reserveBytes(message.length)) {
      this.judgeNoMore(noMemory());
      this.#pass(message);
      return;
    }
    this.#judged = message.length === 0 ? undefined : Buffer.from(message);
    this.#waiting = [];
    this.source.pause();
  }

  #goOn(): void {
    const judged = this.#judged;
    this.#judged = undefined;
    releaseBytes(judged?.length ?? 0);
    const waiting = this.#endWait();
    try {
      if (judged !== undefined) this.#pass(judged);
      while (waiting.length > 0 && this.#waiting === undefined && !this.isOver) {
        const chunk = waiting.shift() as Buffer;
        releaseBytes(chunk.length);
        if (this.isOpen) this.#pass(chunk);
        else this.#take(chunk, true);
      }
    } catch (error) {
      releaseBytes(sizeOf(waiting)); // of a call that ends with this message
      throw error;
    }
    if (this.isOver) {
      releaseBytes(sizeOf(waiting)); // of a call that ended meanwhile
    } else if (this.#waiting !== undefined) {
      waiting.unshift(...this.#waiting); // what is left of the last chunk
      this.#waiting = waiting;
    } else if (this.#trailers !== undefined) {
      this.#judgeEnd(this.#trailers);
    } else if (!this.#isPaused) {
      this.source.resume();
    }
  }

  /** What came meanwhile; its memory is still counted. */
  #endWait(): Buffer[] {
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    return waiting;
  }

  /** The source is paused: what is still under way comes to at most its window. */
  #keep(chunk: Buffer, waiting: Buffer[], isKept = false): void {
    if (reserveBytes(chunk.length)) waiting.push(isKept ? chunk : Buffer.from(chunk));
    else this.guarded(() => this.#passUnkept(chunk));
  }

  /** There is no memory to wait for the judgement with. */
  #passUnkept(chunk: Buffer): void {
    this.judgeNoMore(noMemory());
    const kept = [...(this.#judged === undefined ? [] : [this.#judged]), ...this.#endWait()];
    this.#judged = undefined;
    releaseBytes(sizeOf(kept));
    for (const bytes of [...kept, chunk]) this.#pass(bytes);
    if (!this.#isPaused) this.source.resume();
  }

  #judgeEnd(trailers: FlatHeaders): void {
    const isAnswer = this.sender === 'upstream';
    const fault = this.isOpen ? undefined : endFault(this.#heldBytes, this.#messages, isAnswer, this.#plan);
    if (fault !== undefined) this.#found(fault);
    this.#passHeld();
    this.finish(trailers);
  }

  #found(fault: BodyFault): void {
    settle(this.exchange, this.#plan.plain.found(fault));
    this.openIfFound();
  }

  #passHeld(): void {
    const held = this.#held.subarray(0, this.#heldBytes);
    this.#forget();
    this.#pass(held);
  }

  #forget(): void {
    this.#stopTimer();
    releaseBytes(this.#held.length);
    this.#held = EMPTY;
    this.#heldBytes = 0;
    this.#wanted = 0;
  }

  #pass(bytes: Buffer): void {
    if (bytes.length > 0 && !this.isOver) this.consumer?.onChunk(bytes);
  }
}

function noMemory(): Refusal {
  return new Refusal('overloaded', `messages and bodies in memory exceed maxBufferedBytes ${MAX_BUFFERED_BYTES}`);
}

function othersTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

function sizeOf(chunks: readonly Buffer[]): number {
  return chunks.reduce((sum, { length }) => sum + length, 0);
}
