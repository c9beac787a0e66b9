/** Bytes of updates that all streams together hold before they have left for the network; one more update may go beyond it. */
export const MAX_BYTES_ON_THE_WAY = 4 * 1024 * 1024;
/** An update that has not left after this long no longer makes others wait. */
export const TURN_LIMIT_MS = 5_000;

/** The right to make and send one update. */
export interface Turn {
  /** Counts the update's bytes until the turn ends. */
  carry(bytes: number): void;
  /** The update has left, or there will be none: others may go on. What is called again changes nothing. */
  end(): void;
  /** Ends a turn that is older than TURN_LIMIT_MS: a peer that does not read keeps nobody else waiting. */
  endIfLate(nowMs: number): void;
}

/**
 * Whose turn it is to send an update: thousands of sidecars that come at once (after a start, or when a Service changes) each
 * get theirs in the order in which they asked, while the updates on their way take a bounded amount of memory.
 */
export class UpdateTurns {
  readonly #maxBytes: number;
  readonly #now: () => number;
  /** In the order in which they asked. */
  readonly #waiting = new Set<() => void>();
  #bytes = 0;
  #isCalling = false;

  constructor(now: () => number, maxBytes = MAX_BYTES_ON_THE_WAY) {
    this.#now = now;
    this.#maxBytes = maxBytes;
  }

  /** Begins at once where there is room, else once there is. Returns the function that gives up waiting. */
  take(begin: (turn: Turn) => void): () => void {
    if (this.#waiting.size === 0 && this.#bytes < this.#maxBytes) {
      begin(this.#turn());
      return () => {};
    }
    const entry = () => begin(this.#turn());
    this.#waiting.add(entry);
    return () => this.#waiting.delete(entry);
  }

  #turn(): Turn {
    const sinceMs = this.#now();
    let carried = 0;
    let isEnded = false;
    const end = () => {
      if (isEnded) return;
      isEnded = true;
      this.#bytes -= carried;
      this.#callNext();
    };
    return {
      carry: (bytes) => {
        if (isEnded) return;
        carried += bytes;
        this.#bytes += bytes;
      },
      end,
      endIfLate: (nowMs) => {
        if (nowMs - sinceMs > TURN_LIMIT_MS) end();
      },
    };
  }

  #callNext(): void {
    // A turn may end while it begins: the loop goes on with the next, in place of a call within a call.
    if (this.#isCalling) return;
    this.#isCalling = true;
    try {
      for (const entry of this.#waiting) {
        if (this.#bytes >= this.#maxBytes) break;
        this.#waiting.delete(entry);
        entry();
      }
    } finally {
      this.#isCalling = false;
    }
  }
}
