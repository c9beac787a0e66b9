/** Frames are gathered in pieces of this size; one write of a turn is seldom larger. */
const SLAB_BYTES = 65_536;
/** Slabs kept for the next turn, all connections together. */
const MAX_POOLED_SLABS = 16;

const pool: Buffer[] = [];

/**
 * Frames as they are written, back to back, until the connection takes them at the end of the turn of the event loop. An
 * idle connection holds no memory here.
 */
export class OutputBuffer {
  /** Where the next frame goes: `reserve` first, write at `end`, then move `end`. */
  bytes: Buffer = EMPTY;
  end = 0;
  /** Counts up at each `take`: what was written before has left and cannot be amended. */
  generation = 0;
  #full: Buffer[] = [];
  #fullBytes = 0;

  /** Bytes that wait to be taken. */
  get length(): number {
    return this.#fullBytes + this.end;
  }

  /** Makes room for `size` bytes in one piece at `end`. */
  reserve(size: number): void {
    if (this.bytes.length - this.end >= size) return;
    if (this.end > 0) {
      this.#full.push(this.bytes.subarray(0, this.end));
      this.#fullBytes += this.end;
    }
    this.bytes = size > SLAB_BYTES ? Buffer.allocUnsafeSlow(size) : (pool.pop() ?? Buffer.allocUnsafeSlow(SLAB_BYTES));
    this.end = 0;
  }

  /** All that was written since the last call, in order. */
  take(): Buffer[] {
    this.generation++;
    const pieces = this.#full;
    if (this.end > 0) pieces.push(this.bytes.subarray(0, this.end));
    this.#full = [];
    this.#fullBytes = 0;
    this.bytes = EMPTY;
    this.end = 0;
    return pieces;
  }

  /** Gives the memory of pieces back, once nobody reads them any more. */
  static recycle(pieces: readonly Buffer[]): void {
    for (const piece of pieces) {
      if (pool.length >= MAX_POOLED_SLABS) return;
      if (piece.buffer.byteLength === SLAB_BYTES) pool.push(Buffer.from(piece.buffer));
    }
  }
}

const EMPTY = Buffer.alloc(0);
