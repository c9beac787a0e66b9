import { LogLines } from './log-lines.ts';
import type { LogSink } from './log-sink.ts';

/** Lines waiting for a slow disk or reader; beyond it lines are dropped and counted. */
export const MAX_PENDING_LOG_BYTES = 8 * 1024 * 1024;
/** Lines are written together, at the latest after this. */
const FLUSH_DELAY_MS = 100;
/** More than this is written at once without waiting. */
const FLUSH_BYTES = 128 * 1024;

/** Gathers lines and hands them on together, without making a request wait. */
export class LogWriter {
  readonly #sink: LogSink;
  readonly #maxPendingBytes: number;
  /** Gathers lines while `#written` is being written; then they change places. */
  #pending = new LogLines();
  #written = new LogLines();
  #isWriting = false;
  #isClosed = false;
  #timer: NodeJS.Timeout | undefined;
  #idle: (() => void)[] = [];
  dropped = 0;
  /** True: nobody reads lines, and none are made. */
  isOff = false;

  constructor(sink: LogSink, maxPendingBytes = MAX_PENDING_LOG_BYTES) {
    this.#sink = sink;
    this.#maxPendingBytes = maxPendingBytes;
  }

  /** Where the next line goes, which ends with a newline; then `commit`. Undefined: nobody reads, or there is no room, and it counts as dropped. */
  begin(): LogLines | undefined {
    if (this.isOff) return undefined;
    if (!this.#isClosed && this.#pending.end < this.#maxPendingBytes) return this.#pending;
    this.dropped++;
    return undefined;
  }

  /** The line is complete. */
  commit(): void {
    if (this.#pending.end >= FLUSH_BYTES) this.#flush();
    else this.#timer ??= setTimeout(() => this.#flush(), FLUSH_DELAY_MS);
  }

  /** `line` ends with a newline. */
  write(line: string): void {
    const lines = this.begin();
    if (lines === undefined) return;
    lines.text(line);
    this.commit();
  }

  /** Resolves once all lines are written. */
  async close(): Promise<void> {
    this.#flush();
    if (this.#isWriting || this.#pending.end > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
    this.#isClosed = true;
    this.#sink.close();
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#isWriting) return;
    if (this.#pending.end === 0) {
      for (const resolve of this.#idle.splice(0)) resolve();
      return;
    }
    const lines = this.#pending;
    this.#pending = this.#written;
    this.#pending.reset();
    this.#written = lines;
    this.#isWriting = true;
    this.#sink.write(lines.bytes.subarray(0, lines.end), (error) => {
      if (error !== null) this.dropped++; // disk full, reader gone: requests go on without a log
      this.#isWriting = false;
      if (this.#pending.end > 0 || this.#idle.length > 0) this.#flush();
    });
  }
}
