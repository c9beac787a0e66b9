import type { FlatHeaders } from '#policy/http/flat-headers.ts';
import type { BodyConsumer, IncomingBody, OutgoingBody } from '../message.ts';
import { CANCEL, INTERNAL_ERROR } from './frame.ts';
import type { Http2Session } from './http2-session.ts';

/** Pieces up to this size are gathered while their reader is away, so that dribble does not cost more than its bytes. */
const MAX_GATHERED_BYTES = 1_024;
/** What they are gathered in: small at first, so that a stream that says one byte and rests does not cost much more. */
const MIN_GATHER_BUFFER_BYTES = 256;
const MAX_GATHER_BUFFER_BYTES = 16_384;

/** Whoever the stream belongs to: a served request, or an exchange on its way out. */
export interface StreamOwner {
  /** Heads of responses, interim ones included; only at clients. */
  onHead(fields: string[]): void;
  /** The other side has ended its half; `onHead` or the request head came before. */
  onRemoteEnd(): void;
  /**
   * The stream is over before its end: reset, or its connection lost. `code`: RFC 9113 §7; undefined: lost. `isFault`: the
   * other side broke a rule of it.
   */
  onReset(code: number | undefined, reason: string, isFault: boolean): void;
}

/** A copy with memory of its own: a part of a large read, or of a pool, must not keep all of it. */
function apart(chunk: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(chunk.length);
  chunk.copy(copy);
  return copy;
}

/** One stream (RFC 9113 §5): the body that comes and the body that goes, each with its flow control. */
export class Http2Stream implements IncomingBody, OutgoingBody {
  readonly id: number;
  owner: StreamOwner | undefined = undefined;
  isPresent = true;
  declaredLength: number | undefined = undefined;
  /** What we may still send. */
  sendWindow: number;
  /** What the peer may still send. */
  receiveWindow: number;
  isRemoteEnded = false;
  isLocalEnded = false;
  isReset = false;
  /** The final head has been received (client) or sent (server). */
  hasFinalHead = false;
  /** Switched to another protocol: either half may end before the other (RFC 8441 §5). */
  isTunnel = false;
  /** Bytes of DATA received, against content-length. */
  receivedBytes = 0;
  onDrain: (() => void) | undefined = undefined;
  /** Called when body is first wanted: 100 (Continue). */
  beforeStart: (() => void) | undefined = undefined;
  /** Where the last frame was written, and the output's generation then: its END_STREAM can be set while it has not left. */
  lastFrameAt = 0;
  lastGeneration = -1;
  /** Written and not yet framed. */
  queue: Buffer[] = [];
  queuedBytes = 0;
  /** Its place in a TurnOrder. */
  hasTurn = false;
  turnBefore: Http2Stream | undefined = undefined;
  turnAfter: Http2Stream | undefined = undefined;
  /** Set by `end` while something is queued. */
  pendingTrailers: FlatHeaders | undefined = undefined;
  readonly #session: Http2Session;
  #consumer: BodyConsumer | undefined;
  #isPaused = false;
  /** Received and not yet taken. */
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  /** Room in the last of `#waiting`, when that is a buffer of ours that gathers. */
  #gathered = 0;
  #outcome: FlatHeaders | Error | undefined;
  #isUnwanted = false;
  /** Taken and not yet credited. */
  #uncredited = 0;

  constructor(session: Http2Session, id: number, sendWindow: number, receiveWindow: number) {
    this.#session = session;
    this.id = id;
    this.sendWindow = sendWindow;
    this.receiveWindow = receiveWindow;
  }

  // IncomingBody

  start(consumer: BodyConsumer): void {
    const { beforeStart } = this;
    if (beforeStart !== undefined) {
      this.beforeStart = undefined;
      beforeStart();
    }
    this.#consumer = consumer;
    this.#isPaused = false;
    this.#handOver();
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#handOver();
  }

  cancel(): void {
    this.#forget();
    if (!this.isRemoteEnded) this.#session.unwanted(this);
  }

  /** A piece of the body from the wire; `size` of flow control includes padding and was checked. */
  receive(chunk: Buffer): void {
    if (this.#isUnwanted) {
      this.#session.credit.give(chunk.length);
      return;
    }
    const consumer = this.#consumer;
    if (consumer !== undefined && !this.#isPaused && this.#waitingBytes === 0) {
      this.#session.credit.give(chunk.length);
      this.#took(chunk.length);
      consumer.onChunk(chunk);
      return;
    }
    this.#keep(chunk);
  }

  /** Padding of a DATA frame has come: nobody takes it, so it is credited with what is taken. */
  skip(bytes: number): void {
    this.#took(bytes);
  }

  /** The body has ended; `trailers` may be empty. */
  finish(trailers: FlatHeaders): void {
    this.#settle(trailers);
  }

  /** The body broke off. */
  fail(error: Error): void {
    this.#settle(error);
  }

  /** Its exchange is over: what was not taken goes nowhere, and its reader is told. */
  discard(reason: string): void {
    if (this.#consumer !== undefined || this.#waitingBytes > 0) this.#settle(new Error(reason));
  }

  /** Gives back what waits here and was not taken. */
  #forget(): void {
    this.#isUnwanted = true;
    this.#consumer = undefined;
    const bytes = this.#waitingBytes;
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#gathered = 0;
    if (bytes > 0) this.#session.credit.release(bytes);
  }

  #keep(chunk: Buffer): void {
    this.#waitingBytes += chunk.length;
    this.#session.credit.hold(chunk.length);
    if (chunk.length > MAX_GATHERED_BYTES) {
      if (this.#gathered > 0) this.#closeGathered();
      this.#waiting.push(apart(chunk));
      return;
    }
    const buffer = this.#gatherBuffer(chunk.length);
    chunk.copy(buffer, this.#gathered);
    this.#gathered += chunk.length;
  }

  /** The last of what waits, with room for `size` bytes behind `#gathered`. */
  #gatherBuffer(size: number): Buffer {
    const last = this.#gathered > 0 ? this.#waiting.at(-1) : undefined;
    if (last !== undefined) {
      const wanted = this.#gathered + size;
      if (wanted <= last.length) return last;
      if (wanted <= MAX_GATHER_BUFFER_BYTES) {
        const larger = Buffer.allocUnsafeSlow(Math.min(Math.max(last.length * 2, wanted), MAX_GATHER_BUFFER_BYTES));
        last.copy(larger, 0, 0, this.#gathered);
        this.#waiting[this.#waiting.length - 1] = larger;
        return larger;
      }
      this.#closeGathered();
    }
    const first = Buffer.allocUnsafeSlow(Math.max(size, MIN_GATHER_BUFFER_BYTES));
    this.#waiting.push(first);
    return first;
  }

  #closeGathered(): void {
    const last = this.#waiting.pop();
    if (last === undefined) return;
    this.#waiting.push(last.subarray(0, this.#gathered));
    this.#gathered = 0;
  }

  #handOver(): void {
    if (this.#gathered > 0) this.#closeGathered();
    while (this.#waiting.length > 0 && !this.#isPaused && this.#consumer !== undefined) {
      const chunk = this.#waiting.shift();
      if (chunk === undefined) break;
      this.#waitingBytes -= chunk.length;
      this.#session.credit.release(chunk.length);
      this.#took(chunk.length);
      this.#consumer.onChunk(chunk);
    }
    if (this.#waitingBytes === 0 && this.#outcome !== undefined) this.#settle(this.#outcome);
  }

  #took(bytes: number): void {
    if (this.isRemoteEnded) return;
    this.#uncredited += bytes;
    if (this.#session.creditStream(this, this.#uncredited)) this.#uncredited = 0;
  }

  #settle(outcome: FlatHeaders | Error): void {
    const consumer = this.#consumer;
    this.#outcome ??= outcome;
    if (outcome instanceof Error) {
      this.#outcome = outcome;
      this.#forget(); // nobody wants the beginning of what has no end
    } else if (consumer !== undefined && this.#waitingBytes > 0) return; // its reader is not there yet
    if (consumer === undefined) return;
    this.#consumer = undefined;
    if (outcome instanceof Error) consumer.onError(outcome);
    else consumer.onEnd(outcome);
  }

  // OutgoingBody

  write(chunk: Buffer): boolean {
    if (this.isLocalEnded || this.isReset || chunk.length === 0) return true;
    return this.#session.writeData(this, chunk);
  }

  end(trailers: FlatHeaders): void {
    if (this.isLocalEnded || this.isReset || this.pendingTrailers !== undefined) return;
    this.#session.endStream(this, trailers);
  }

  abort(_error: Error): void {
    // CANCEL is the caller's word: of an answer that breaks off it would say that the caller wanted it so
    this.#session.reset(this, this.#session.isServer ? INTERNAL_ERROR : CANCEL);
  }
}
