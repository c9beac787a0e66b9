import fs from 'node:fs';

/** A full pipe is tried again after this. */
const RETRY_DELAY_MS = 10;

/** Where lines go: a file, stdout, or the thread that has them. */
export interface LogSink {
  /** Takes all of `bytes`, which are the sink's until it calls back. One call at a time. */
  write(bytes: Uint8Array, done: (error: Error | null) => void): void;
  close(): void;
}

/** Appends to a file (made with 0640) or to stdout, 1. Throws if the file cannot be opened. */
export function openLogSink(target: string | 1): LogSink {
  const fd = typeof target === 'string' ? fs.openSync(target, 'a', 0o640) : target;
  const writeFrom = (bytes: Uint8Array, offset: number, done: (error: Error | null) => void) => {
    fs.write(fd, bytes, offset, bytes.length - offset, null, (error, written) => {
      if (error?.code === 'EAGAIN') setTimeout(writeFrom, RETRY_DELAY_MS, bytes, offset, done);
      else if (error === null && offset + written < bytes.length) writeFrom(bytes, offset + written, done);
      else done(error);
    });
  };
  return {
    write: (bytes, done) => writeFrom(bytes, 0, done),
    close: () => {
      if (fd !== 1) fs.closeSync(fd);
    },
  };
}
