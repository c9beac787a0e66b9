import type { CommandIo } from '../command.ts';
import { type OfflineRequestReading, readOfflineRequest } from './offline-request.ts';
import { MAX_LINE_BYTES, readLines } from './read-lines.ts';

/** Output of a batch is written in pieces of about this length. */
const WRITE_LENGTH = 65_536;

/** Answers each line of `file` by one line of JSON, in order; a line that is no request is answered too. */
export async function runBatch(
  file: string,
  answer: (reading: OfflineRequestReading) => object | Promise<object>,
  io: CommandIo,
): Promise<void> {
  let held = '';
  for await (const { text } of readLines(file)) {
    const reading: OfflineRequestReading =
      text === undefined
        ? { kind: 'broken', reason: `a line of more than ${MAX_LINE_BYTES} bytes` }
        : readOfflineRequest(text);
    held += `${JSON.stringify(await answer(reading))}\n`;
    if (held.length < WRITE_LENGTH) continue;
    io.stdout(held);
    held = '';
  }
  io.stdout(held);
}
