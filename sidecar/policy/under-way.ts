const SINCE_AT = 8;

/** What a judging thread is at, in memory that it shares with the thread that asked: while it judges it answers no message. */
export class UnderWay {
  readonly memory: SharedArrayBuffer;
  readonly #id: Int32Array;
  readonly #since: Float64Array;

  /** `memory`: of the other side. */
  constructor(memory = new SharedArrayBuffer(SINCE_AT + Float64Array.BYTES_PER_ELEMENT)) {
    this.memory = memory;
    this.#id = new Int32Array(memory, 0, 1);
    this.#since = new Float64Array(memory, SINCE_AT, 1);
  }

  begin(id: number): void {
    this.#since[0] = epochNow();
    Atomics.store(this.#id, 0, id); // what was written before is seen by whoever sees it
  }

  end(): void {
    Atomics.store(this.#id, 0, 0);
  }

  /** Number of the body it is at; 0: none. */
  get id(): number {
    return Atomics.load(this.#id, 0);
  }

  /** For how long the thread has been at this body, in ms; undefined: it is not. */
  msOf(id: number): number | undefined {
    return this.id === id ? epochNow() - (this.#since[0] ?? 0) : undefined;
  }
}

/** Ms since the epoch, the same for all threads, which no change of the clock moves. */
export function epochNow(): number {
  return performance.timeOrigin + performance.now();
}
