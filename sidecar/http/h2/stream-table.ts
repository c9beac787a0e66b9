import type { Http2Stream } from './http2-stream.ts';

const MIN_SLOTS = 16;
/** A table that has grown beyond this begins anew when it is empty. */
const MAX_KEPT_SLOTS = 256;
/** Fibonacci hashing: IDs that follow one another lie apart, so that runs of full slots stay short. */
const HASH_FACTOR = 0x9e37_79b1;

/**
 * The streams of a connection by their IDs. Not a Map: each time a Map whose entries come and go makes its table anew, the old
 * table keeps what it held and points to the new one. Once one of them has grown old, V8 takes all that follow, and so every
 * request, for old too, and only a full collection frees them: half of all that was allocated was seen to go that way.
 */
export class StreamTable {
  #slots: (Http2Stream | undefined)[] = emptySlots(MIN_SLOTS);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(id: number): Http2Stream | undefined {
    return this.#slots[this.#find(id)];
  }

  has(id: number): boolean {
    return this.get(id) !== undefined;
  }

  /** The stream's ID is new. */
  add(stream: Http2Stream): void {
    if (this.#size * 2 >= this.#slots.length) this.#resize(this.#slots.length * 2);
    this.#slots[this.#find(stream.id)] = stream;
    this.#size++;
  }

  /** False: it was not there. */
  delete(stream: Http2Stream): boolean {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let hole = this.#find(stream.id);
    if (slots[hole] === undefined) return false;
    this.#size--;
    // those behind it move up, so that none is cut off from the slot where the search for it begins
    for (let at = (hole + 1) & mask; ; at = (at + 1) & mask) {
      const next = slots[at];
      if (next === undefined) break;
      const home = slotOf(next.id, mask);
      if (((at - home) & mask) < ((at - hole) & mask)) continue; // its search begins behind the hole
      slots[hole] = next;
      hole = at;
    }
    slots[hole] = undefined;
    if (this.#size === 0 && slots.length > MAX_KEPT_SLOTS) this.#slots = emptySlots(MIN_SLOTS);
    return true;
  }

  /** All that there are now, in the order of their IDs. */
  all(): Http2Stream[] {
    return this.#slots.filter((stream) => stream !== undefined).sort((one, other) => one.id - other.id);
  }

  /** Where it stands, or the free slot where it would. */
  #find(id: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let at = slotOf(id, mask);
    for (let stream = slots[at]; stream !== undefined && stream.id !== id; stream = slots[at]) at = (at + 1) & mask;
    return at;
  }

  #resize(length: number): void {
    const streams = this.all();
    this.#slots = emptySlots(length);
    for (const stream of streams) this.#slots[this.#find(stream.id)] = stream;
  }
}

function emptySlots(length: number): undefined[] {
  return new Array<undefined>(length).fill(undefined);
}

function slotOf(id: number, mask: number): number {
  return (Math.imul(id, HASH_FACTOR) >>> 16) & mask;
}
