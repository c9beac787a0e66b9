import { createReadStream } from 'node:fs';

/** A longer line of a batch is not read; its answer says so. */
export const MAX_LINE_BYTES = 16 * 1024 * 1024;

/** One line of a batch; undefined text: it was longer than MAX_LINE_BYTES. */
export interface BatchLine {
  readonly text: string | undefined;
  /** False: the file ends within it. */
  readonly isEnded: boolean;
}

/** The lines of a file (`-`: of standard input) that are not blank, in order, with at most one held in memory. */
export function readLines(file: string): AsyncGenerator<BatchLine> {
  return linesOf(openInput(file));
}

export function openInput(file: string): AsyncIterable<Buffer> {
  return file === '-' ? process.stdin : createReadStream(file);
}

/** The lines of bytes that come in pieces. */
export async function* linesOf(input: AsyncIterable<Buffer>): AsyncGenerator<BatchLine> {
  let held: Buffer[] = [];
  let heldBytes = 0;
  let isTooLong = false;

  function take(isEnded: boolean): BatchLine {
    const line = { text: isTooLong ? undefined : Buffer.concat(held).toString('utf8').trim(), isEnded };
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
      const line = take(true);
      if (line.text !== '') yield line;
    }
  }
  const last = take(false);
  if (last.text !== '') yield last;
}
