/** Random numbers that a seed repeats (mulberry32). */
export class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 up to `limit`, excluded. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % Math.max(1, limit);
  }

  /** One of them; undefined of none. */
  of<T>(all: readonly T[]): T | undefined {
    return all[this.below(all.length)];
  }
}

const MAX_MUTATIONS = 6;
const MAX_PIECE_BYTES = 64;

/** `bytes` after a few accidents; now and then crossed with `other`. At most `maxBytes` long. */
export function mutate(
  bytes: Buffer,
  other: Buffer,
  dictionary: readonly Buffer[],
  chance: Chance,
  maxBytes: number,
): Buffer {
  let mutated = bytes;
  for (let left = 1 + chance.below(MAX_MUTATIONS); left > 0; left--)
    mutated = mutateOnce(mutated, other, dictionary, chance);
  return mutated.subarray(0, maxBytes);
}

function mutateOnce(bytes: Buffer, other: Buffer, dictionary: readonly Buffer[], chance: Chance): Buffer {
  const at = chance.below(bytes.length + 1);
  const size = Math.min(bytes.length - at, 1 + chance.below(MAX_PIECE_BYTES));
  switch (chance.below(8)) {
    case 0:
      return spliced(bytes, at, 0, chance.of(dictionary) ?? bytes);
    case 1: {
      const piece = chance.of(dictionary) ?? bytes;
      return spliced(bytes, at, Math.min(piece.length, bytes.length - at), piece);
    }
    case 2:
      return spliced(bytes, at, size, NOTHING);
    case 3:
      return spliced(bytes, at, 0, bytes.subarray(at, at + size)); // said twice
    case 4:
      return spliced(bytes, at, 0, Buffer.of(chance.below(256)));
    case 5:
      return at === bytes.length ? bytes : spliced(bytes, at, 1, Buffer.of((bytes[at] ?? 0) ^ (1 << chance.below(8))));
    case 6: {
      const from = chance.below(bytes.length + 1);
      return spliced(bytes, at, 0, bytes.subarray(from, from + size)); // said elsewhere
    }
    default: {
      const from = chance.below(other.length + 1);
      return Buffer.concat([bytes.subarray(0, at), other.subarray(from)]);
    }
  }
}

function spliced(bytes: Buffer, at: number, remove: number, insert: Buffer): Buffer {
  return Buffer.concat([bytes.subarray(0, at), insert, bytes.subarray(at + remove)]);
}

const NOTHING = Buffer.alloc(0);
