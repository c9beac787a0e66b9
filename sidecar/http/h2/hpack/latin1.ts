declare global {
  interface Buffer {
    /** `toString('latin1', start, end)` without its detours; Node has it on every Buffer. */
    latin1Slice(start: number, end: number): string;
    /** `write(text, offset, length, 'latin1')` without its detours; Node has it on every Buffer. */
    latin1Write(text: string, offset: number, length?: number): number;
  }
}

/**
 * Writes one byte a character; `target` has room. Returns the new offset. No loop over characters: a string may be of many
 * kinds, and V8 looks each up at every character.
 */
export function writeLatin1(text: string, target: Buffer, offset: number): number {
  return offset + target.latin1Write(text, offset);
}
