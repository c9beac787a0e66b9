import type { HeldBytes } from '#policy/http/held-bytes.ts';

/** Longer bodies are joined some at a time, in memory that other threads can read. */
export const JOINED_AT_ONCE_BYTES = 256 * 1024;
/** How much of such a body is joined in one turn of the event loop: about a millisecond. */
const JOINED_A_TURN_BYTES = 2 * 1024 * 1024;

/** The bytes in one piece: at once, or, where that would hold others up, some a turn. */
export function joinBytes(held: HeldBytes): Buffer | Promise<Buffer> {
  const blocks = held.blocks();
  const [only] = blocks;
  if (held.size > JOINED_AT_ONCE_BYTES) return joinShared(blocks, held.size);
  return blocks.length === 1 && only !== undefined ? only : Buffer.concat(blocks, held.size);
}

async function joinShared(blocks: readonly Buffer[], size: number): Promise<Buffer> {
  const bytes = Buffer.from(new SharedArrayBuffer(size));
  let at = 0;
  let turnEnd = JOINED_A_TURN_BYTES;
  for (const block of blocks) {
    // a block is as long as what came in one read at most
    at += block.copy(bytes, at);
    if (at < turnEnd) continue;
    turnEnd = at + JOINED_A_TURN_BYTES;
    await new Promise(setImmediate);
  }
  return bytes;
}
