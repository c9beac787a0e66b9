/** Most bytes of an integer that `writeInteger` writes: a prefix and 28 bits. */
export const MAX_INTEGER_BYTES = 5;

/**
 * Writes an integer by RFC 7541 §5.1: `mask` covers the bits of its prefix, `flags` are the bits before. `target` has
 * room. Returns the new offset.
 */
export function writeInteger(value: number, flags: number, mask: number, target: Buffer, offset: number): number {
  if (value < mask) {
    target[offset] = flags | value;
    return offset + 1;
  }
  target[offset++] = flags | mask;
  let rest = value - mask;
  while (rest >= 0x80) {
    target[offset++] = 0x80 | (rest & 0x7f);
    rest >>>= 7;
  }
  target[offset] = rest;
  return offset + 1;
}
