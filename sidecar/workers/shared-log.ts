import type { LogSink } from '../telemetry/log-sink.ts';

interface Block {
  readonly bytes: Uint8Array;
  readonly done: (error: Error | null) => void;
}

/**
 * One log for all workers: their blocks of whole lines are written one after the other. Each worker has one block on
 * its way at most (see forwarded-log.ts), which bounds what waits here.
 */
export class SharedLog {
  readonly #sink: LogSink;
  readonly #waiting: Block[] = [];
  #isWriting = false;
  #onIdle: (() => void)[] = [];

  constructor(sink: LogSink) {
    this.#sink = sink;
  }

  write(bytes: Uint8Array, done: Block['done']): void {
    this.#waiting.push({ bytes, done });
    if (!this.#isWriting) this.#writeNext();
  }

  /** Resolves once all blocks are written. */
  async close(): Promise<void> {
    if (this.#isWriting) await new Promise<void>((resolve) => this.#onIdle.push(resolve));
    this.#sink.close();
  }

  #writeNext(): void {
    const block = this.#waiting.shift();
    this.#isWriting = block !== undefined;
    if (block === undefined) {
      for (const resolve of this.#onIdle.splice(0)) resolve();
      return;
    }
    this.#sink.write(block.bytes, (error) => {
      block.done(error);
      this.#writeNext();
    });
  }
}
