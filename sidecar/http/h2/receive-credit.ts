import type { FrameWriter } from './frame-writer.ts';
import type { MemoryBudget } from './memory-budget.ts';

/** What the other side may send of all bodies of a connection before we have seen it. */
export const CONNECTION_WINDOW_BYTES = 4_194_304;
/** Received and not taken, of one connection: above it the connection's window opens only as bodies are taken. */
export const MAX_WAITING_BYTES_PER_CONNECTION = 33_554_432;

/**
 * The window of a connection's receiving side (RFC 9113 §6.9). It opens as bytes arrive, so that one slow reader does not hold
 * up the others; where too much is waiting, only as bytes are taken.
 */
export class ReceiveCredit {
  readonly #writer: FrameWriter;
  readonly #budget: MemoryBudget;
  #window = CONNECTION_WINDOW_BYTES;
  /** Seen and not yet told. */
  #uncredited = 0;
  #waitingBytes = 0;
  /** Of those that wait, what is credited only when it is taken. */
  #withheldBytes = 0;

  constructor(writer: FrameWriter, budget: MemoryBudget) {
    this.#writer = writer;
    this.#budget = budget;
  }

  /** DATA of this size arrives; false: it is more than was allowed. */
  spend(bytes: number): boolean {
    this.#window -= bytes;
    return this.#window >= 0;
  }

  /** Received and not taken. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /** `bytes` wait for their reader. */
  hold(bytes: number): void {
    this.#waitingBytes += bytes;
    this.#budget.usedBytes += bytes;
    const mayCredit = this.#waitingBytes < MAX_WAITING_BYTES_PER_CONNECTION && !this.#budget.isExhausted;
    if (mayCredit) this.give(bytes);
    else this.#withheldBytes += bytes;
  }

  /** `bytes` that waited were taken, or are not wanted any more. */
  release(bytes: number): void {
    this.#waitingBytes -= bytes;
    this.#budget.usedBytes -= bytes;
    const withheld = Math.min(bytes, this.#withheldBytes);
    if (withheld === 0) return;
    this.#withheldBytes -= withheld;
    this.give(withheld);
  }

  /** The other side may send `bytes` more; told in large steps. */
  give(bytes: number): void {
    this.#uncredited += bytes;
    if (this.#uncredited < CONNECTION_WINDOW_BYTES / 2) return;
    this.#window += this.#uncredited;
    this.#writer.windowUpdate(0, this.#uncredited);
    this.#uncredited = 0;
  }
}
