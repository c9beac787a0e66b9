import { isUtf8 } from 'node:buffer';
import { createReadStream } from 'node:fs';

/** A longer line of a batch is not read; its answer says so. */
export const MAX_LINE_BYTES = 16 * 1024 * 1024;

/** One line of a batch. */
export interface BatchLine {
  /** Undefined: it cannot be read, for `fault`. */
  readonly text: string | undefined;
  readonly fault?: 'too_long' | 'not_utf8';
  /** From 1, blank lines counted. */
  readonly number: number;
  /** False: the file ends within it. */
  readonly isEnded: boolean;
}

/** The lines of a file (`-`: of standard input) that are not blank, in order, with at most one held in memory. What it throws names the file. */
export async function* readLines(file: string): AsyncGenerator<BatchLine> {
  try {
    yield* linesOf(openInput(file));
  } catch (error) {
    throw new Error(`${file}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

export function openInput(file: string): AsyncIterable<Buffer> {
  return file === '-' ? process.stdin : createReadStream(file);
}

/** The lines of bytes that come in pieces. */
export async function* linesOf(input: AsyncIterable<Buffer>): AsyncGenerator<BatchLine> {
  let held: Buffer[] = [];
  let heldBytes = 0;
  let isTooLong = false;
  let number = 0;

  function take(isEnded: boolean): BatchLine {
    number += 1;
    const bytes = Buffer.concat(held);
    const fault = isTooLong ? 'too_long' : isUtf8(bytes) ? undefined : 'not_utf8';
    const line: BatchLine =
      fault === undefined
        ? { text: bytes.toString('utf8').trim(), number, isEnded }
        : { text: undefined, fault, number, isEnded };
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
