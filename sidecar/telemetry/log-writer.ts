import fs from 'node:fs';
import { LogLines } from './log-lines.ts';

/** Lines waiting for a slow disk or reader; beyond it lines are dropped and counted. */
export const MAX_PENDING_LOG_BYTES = 8 * 1024 * 1024;
/** Lines are written together, at the latest after this. */
const FLUSH_DELAY_MS = 50;
/** More than this is written at once without waiting. */
const FLUSH_BYTES = 64 * 1024;
/** A full pipe is tried again after this. */
const RETRY_DELAY_MS = 10;

/** Appends lines to a file or to stdout without making a request wait. */
export class LogWriter {
  readonly #fd: number;
  readonly #ownsFd: boolean;
  /** Gathers lines while `#written` is being written; then they change places. */
  #pending = new LogLines();
  #written = new LogLines();
  #isWriting = false;
  #isClosed = false;
  #timer: NodeJS.Timeout | undefined;
  #idle: (() => void)[] = [];
  dropped = 0;

  /** `target`: a path (appended to; made with 0640), or 1 for stdout. Throws if the file cannot be opened. */
  constructor(target: string | 1) {
    this.#ownsFd = typeof target === 'string';
    this.#fd = typeof target === 'string' ? fs.openSync(target, 'a', 0o640) : target;
  }

  /** Where the next line goes, which ends with a newline; then `commit`. Undefined: there is no room, and it counts as dropped. */
  begin(): LogLines | undefined {
    if (!this.#isClosed && this.#pending.end < MAX_PENDING_LOG_BYTES) return this.#pending;
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
    this.#isClosed = true; // the number of the descriptor may be another file's soon
    if (this.#ownsFd) fs.closeSync(this.#fd);
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
    this.#writeFrom(lines, 0);
  }

  #writeFrom(lines: LogLines, offset: number): void {
    fs.write(this.#fd, lines.bytes, offset, lines.end - offset, null, (error, written) => {
      if (error?.code === 'EAGAIN') {
        setTimeout(() => this.#writeFrom(lines, offset), RETRY_DELAY_MS);
        return;
      }
      if (error === null && offset + written < lines.end) {
        this.#writeFrom(lines, offset + written);
        return;
      }
      if (error !== null) this.dropped++; // disk full, reader gone: requests go on without a log
      this.#isWriting = false;
      if (this.#pending.end > 0 || this.#idle.length > 0) this.#flush();
    });
  }
}
