import { createGunzip } from 'node:zlib';
import { openInput } from '../offline/read-lines.ts';

/** A log as it is read. */
export interface OpenLog {
  /** Unpacked, where it was gzip. */
  readonly chunks: AsyncIterable<Buffer>;
  /** Read from the file so far. */
  readonly bytes: () => number;
}

/** RFC 1952 §2.3.1. */
const GZIP = [0x1f, 0x8b];

/** Opens a file of the access log (`-`: standard input), plain or gzip, by how it begins. */
export function openLog(file: string): OpenLog {
  let bytes = 0;
  async function* counted() {
    for await (const chunk of openInput(file)) {
      bytes += chunk.length;
      yield chunk;
    }
  }
  async function* chunks(): AsyncGenerator<Buffer> {
    const input = counted();
    let head = Buffer.alloc(0);
    while (head.length < GZIP.length) {
      const { value, done } = await input.next();
      if (done === true) break;
      head = Buffer.concat([head, value]);
    }
    const all = precededBy(head, input);
    yield* GZIP.every((byte, index) => head[index] === byte) ? unpacked(all) : all;
  }
  return { chunks: chunks(), bytes: () => bytes };
}

async function* precededBy(head: Buffer, rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  if (head.length > 0) yield head;
  yield* rest;
}

async function* unpacked(packed: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const gunzip = createGunzip();
  const filling = fill(gunzip, packed);
  filling.catch((error) => gunzip.destroy(error));
  yield* gunzip;
  await filling;
}

async function fill(gunzip: ReturnType<typeof createGunzip>, packed: AsyncIterable<Buffer>): Promise<void> {
  for await (const chunk of packed) {
    if (!gunzip.write(chunk)) await new Promise((resolve) => gunzip.once('drain', resolve));
  }
  gunzip.end();
}
