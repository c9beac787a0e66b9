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
  for await (const { text, fault, number } of readLines(file)) {
    const reading =
      text === undefined
        ? broken(fault === 'too_long' ? `more than ${MAX_LINE_BYTES} bytes` : 'not UTF-8')
        : readOfflineRequest(text);
    const told = reading.kind === 'broken' ? broken(`line ${number}: ${reading.reason}`) : reading;
    held += `${JSON.stringify(await answer(told))}\n`;
    if (held.length < WRITE_LENGTH) continue;
    io.stdout(held);
    held = '';
  }
  io.stdout(held);
}

function broken(reason: string): OfflineRequestReading {
  return { kind: 'broken', reason };
}
