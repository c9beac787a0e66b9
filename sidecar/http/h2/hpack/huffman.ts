/**
 * Bits of the code of each symbol, 0 to 255 and EOS (RFC 7541 Appendix B). The code is canonical: codes of one
 * length are consecutive, in the order of their symbols, so the lengths say it all.
 */
// biome-ignore format: sixteen symbols a line
const CODE_BITS: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
  28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
  6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
  5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
  6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
  24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
  21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
  19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
  26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
  30,
];
const EOS = 256;
const MAX_CODE_BITS = 30;
/** Codes up to here are found in one look-up: all letters, digits and common signs. */
const SHORT_BITS = 10;
const SHORT_MASK = (1 << SHORT_BITS) - 1;

/** By the next SHORT_BITS bits: `bits << 8 | symbol`; 0: the code is longer. */
const SHORT_CODES = new Uint16Array(1 << SHORT_BITS);
/** By bits: all codes of that length, shifted left to MAX_CODE_BITS, are below it. */
const LIMITS = new Int32Array(MAX_CODE_BITS + 1);
/** By bits: what to add to a code of that length for its place in SYMBOLS. */
const PLACES = new Int32Array(MAX_CODE_BITS + 1);
/** Symbols in the order of their codes. */
const SYMBOLS = new Uint16Array(CODE_BITS.length);
fillTables();

function fillTables(): void {
  let code = 0;
  let place = 0;
  for (let bits = 1; bits <= MAX_CODE_BITS; bits++) {
    code *= 2;
    PLACES[bits] = place - code;
    for (let symbol = 0; symbol < CODE_BITS.length; symbol++) {
      if (CODE_BITS[symbol] !== bits) continue;
      if (bits <= SHORT_BITS) {
        const first = code << (SHORT_BITS - bits);
        SHORT_CODES.fill((bits << 8) | symbol, first, first + (1 << (SHORT_BITS - bits)));
      }
      SYMBOLS[place++] = symbol;
      code++;
    }
    LIMITS[bits] = code * 2 ** (MAX_CODE_BITS - bits);
  }
}

/** Most bytes that `length` bytes of Huffman code can stand for: no code is shorter than 5 bits. */
export function maxDecodedBytes(length: number): number {
  return Math.ceil((length * 8) / 5);
}

/**
 * Decodes bytes[start, end) into `target`, which has room for `maxDecodedBytes`. Returns the bytes written, or -1 for
 * what RFC 7541 §5.2 refuses: EOS in the string, padding that is longer than 7 bits or not of ones.
 */
export function decodeHuffman(bytes: Buffer, start: number, end: number, target: Buffer): number {
  let position = start;
  let window = 0; // its low `held` bits are the next ones
  let held = 0;
  let written = 0;
  for (;;) {
    if (held < 16) {
      if (position + 1 < end) {
        window = (window << 16) | ((bytes[position] ?? 0) << 8) | (bytes[position + 1] ?? 0);
        position += 2;
        held += 16;
      } else if (position < end) {
        window = (window << 8) | (bytes[position++] ?? 0);
        held += 8;
      }
    }
    // past the end the window goes on with ones, as the padding does
    const next =
      held >= SHORT_BITS
        ? (window >>> (held - SHORT_BITS)) & SHORT_MASK
        : ((window << (SHORT_BITS - held)) | (SHORT_MASK >>> held)) & SHORT_MASK;
    const found = SHORT_CODES[next] ?? 0;
    const bits = found >>> 8;
    if (found !== 0 && bits <= held) {
      target[written++] = found & 0xff;
      held -= bits;
      continue;
    }
    if (held < 8 && position === end) return isPadding(window, held) ? written : -1;
    if (found !== 0) return -1; // a code that the end cuts off
    const code = thirtyBits(bytes, position, end, window, held);
    const longBits = codeBits(code);
    const symbol = SYMBOLS[(code >>> (MAX_CODE_BITS - longBits)) + (PLACES[longBits] ?? 0)] ?? EOS;
    const nextBit = position * 8 - held + longBits;
    if (symbol === EOS || nextBit > end * 8) return -1;
    target[written++] = symbol;
    position = Math.ceil(nextBit / 8);
    held = position * 8 - nextBit;
    window = bytes[position - 1] ?? 0;
  }
}

function isPadding(window: number, held: number): boolean {
  const ones = (1 << held) - 1;
  return (window & ones) === ones;
}

/** The next 30 bits, from the window and what follows it; ones past the end. */
function thirtyBits(bytes: Buffer, position: number, end: number, window: number, held: number): number {
  if (held >= MAX_CODE_BITS) return (window >>> (held - MAX_CODE_BITS)) & (2 ** MAX_CODE_BITS - 1);
  let code = window & ((1 << held) - 1);
  let has = held;
  for (let from = position; has < MAX_CODE_BITS; from++) {
    const byte = from < end ? (bytes[from] ?? 0) : 0xff;
    const taken = Math.min(8, MAX_CODE_BITS - has);
    code = (code << taken) | (byte >>> (8 - taken));
    has += taken;
  }
  return code;
}

function codeBits(code: number): number {
  let bits = SHORT_BITS + 1;
  while (bits < MAX_CODE_BITS && code >= (LIMITS[bits] ?? 0)) bits++;
  return bits;
}
