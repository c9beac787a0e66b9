import fs from 'node:fs';

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
  #pending: string[] = [];
  #pendingBytes = 0;
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

  /** `line` ends with a newline. */
  write(line: string): void {
    if (this.#isClosed || this.#pendingBytes + line.length > MAX_PENDING_LOG_BYTES) {
      this.dropped++;
      return;
    }
    this.#pending.push(line);
    this.#pendingBytes += line.length;
    if (this.#pendingBytes >= FLUSH_BYTES) this.#flush();
    else this.#timer ??= setTimeout(() => this.#flush(), FLUSH_DELAY_MS);
  }

  /** Resolves once all lines are written. */
  async close(): Promise<void> {
    this.#flush();
    if (this.#isWriting || this.#pending.length > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
    this.#isClosed = true; // the number of the descriptor may be another file's soon
    if (this.#ownsFd) fs.closeSync(this.#fd);
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#isWriting) return;
    if (this.#pending.length === 0) {
      for (const resolve of this.#idle.splice(0)) resolve();
      return;
    }
    const bytes = Buffer.from(this.#pending.join(''));
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#isWriting = true;
    this.#writeFrom(bytes, 0);
  }

  #writeFrom(bytes: Buffer, offset: number): void {
    fs.write(this.#fd, bytes, offset, bytes.length - offset, null, (error, written) => {
      if (error?.code === 'EAGAIN') {
        setTimeout(() => this.#writeFrom(bytes, offset), RETRY_DELAY_MS);
        return;
      }
      if (error === null && offset + written < bytes.length) {
        this.#writeFrom(bytes, offset + written);
        return;
      }
      if (error !== null) this.dropped++; // disk full, reader gone: requests go on without a log
      this.#isWriting = false;
      if (this.#pending.length > 0 || this.#idle.length > 0) this.#flush();
    });
  }
}
