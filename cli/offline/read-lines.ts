import { createReadStream } from 'node:fs';

/** A longer line of a batch is not read; its answer says so. */
export const MAX_LINE_BYTES = 16 * 1024 * 1024;

/** One line of a batch; undefined text: it was longer than MAX_LINE_BYTES. */
export interface BatchLine {
  readonly text: string | undefined;
}

/** The lines of a file (`-`: of standard input) that are not blank, in order, with at most one held in memory. */
export async function* readLines(file: string): AsyncGenerator<BatchLine> {
  const input: AsyncIterable<Buffer> = file === '-' ? process.stdin : createReadStream(file);
  let held: Buffer[] = [];
  let heldBytes = 0;
  let isTooLong = false;

  function take(): BatchLine {
    const line = isTooLong ? { text: undefined } : { text: Buffer.concat(held).toString('utf8').trim() };
    held = [];
    heldBytes = 0;
    isTooLong = false;
    return line;
  }

  for await (const chunk of input) {
    let start = 0;
    while (start < chunk.length) {
      const end = chunk.indexOf(0x0a, start);
      const part = chunk.subarray(start, end === -1 ? chunk.length : end);
      heldBytes += part.length;
      isTooLong ||= heldBytes > MAX_LINE_BYTES;
      if (isTooLong) held = [];
      else held.push(part);
      if (end === -1) break;
      start = end + 1;
      const line = take();
      if (line.text !== '') yield line;
    }
  }
  const last = take();
  if (last.text !== '') yield last;
}
