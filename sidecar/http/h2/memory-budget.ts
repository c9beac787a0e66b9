import { shareOf } from '../../workers/thread-share.ts';

/** Bodies that wait, received ones for their reader and outgoing ones for their windows, all connections of this thread together. */
export const MAX_WAITING_BYTES = shareOf(128 * 1_024 * 1_024);

/** A count of bytes shared by all connections; above the limit nobody is given more. */
export class MemoryBudget {
  readonly limitBytes: number;
  usedBytes = 0;

  constructor(limitBytes = MAX_WAITING_BYTES) {
    this.limitBytes = limitBytes;
  }

  /** Nobody is given more who holds more than a little. */
  get isExhausted(): boolean {
    return this.usedBytes > this.limitBytes;
  }

  /** Twice the limit is used, in spite of that: nobody is given anything. */
  get isOverdrawn(): boolean {
    return this.usedBytes > 2 * this.limitBytes;
  }
}

/** The one that connections of this process share. */
export const processBudget = new MemoryBudget();
