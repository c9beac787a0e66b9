import type { Socket } from 'node:net';

/** Output is gathered in pieces of this size; one write of a turn is seldom larger. */
const SLAB_BYTES = 65_536;
/** What does not fit goes on in one of these: one write of a bulk transfer, 17 full frames of HTTP/2. */
const LARGE_SLAB_BYTES = 294_912;
/** Slabs kept for the next turn, all connections together. */
const MAX_POOLED_SLABS = 16;
const MAX_POOLED_LARGE_SLABS = 4;

const pool: Buffer[] = [];
const largePool: Buffer[] = [];

/**
 * What is written, back to back, until the connection takes it at the end of the turn of the event loop. An idle connection
 * holds no memory here.
 */
export class OutputBuffer {
  /** Where the next bytes go: `reserve` first, write at `end`, then move `end`. */
  bytes: Buffer = EMPTY;
  end = 0;
  /** Counts up when what is in `bytes` has left it and cannot be amended any more. */
  generation = 0;
  #full: Buffer[] = [];
  #fullBytes = 0;

  /** Bytes that wait to be taken. */
  get length(): number {
    return this.#fullBytes + this.end;
  }

  /** Makes room for `size` bytes in one piece at `end`; what stands in `bytes` keeps its place. */
  reserve(size: number): void {
    const { bytes, end } = this;
    if (bytes.length - end >= size) return;
    if (end > 0 && bytes.length < LARGE_SLAB_BYTES && end + size <= LARGE_SLAB_BYTES) {
      // one piece is one write, and of several pieces Node would make one for TLS
      this.bytes = takeLarge();
      bytes.copy(this.bytes, 0, 0, end);
      recycle(bytes);
      return;
    }
    if (end > 0) {
      this.#full.push(bytes.subarray(0, end));
      this.#fullBytes += end;
      this.generation++;
    }
    this.end = 0;
    if (size > LARGE_SLAB_BYTES) this.bytes = Buffer.allocUnsafeSlow(size);
    else if (this.#full.length > 0 || size > SLAB_BYTES) this.bytes = takeLarge();
    else this.bytes = pool.pop() ?? Buffer.allocUnsafeSlow(SLAB_BYTES);
  }

  /** Copies bytes behind what is there. */
  copy(chunk: Buffer): void {
    this.reserve(chunk.length);
    chunk.copy(this.bytes, this.end);
    this.end += chunk.length;
  }

  /** All that was written since the last call, in order. */
  take(): Buffer[] {
    this.generation++;
    const pieces = this.#full;
    if (this.end > 0) pieces.push(this.bytes.subarray(0, this.end));
    else if (this.bytes.length > 0) recycle(this.bytes);
    this.#full = [];
    this.#fullBytes = 0;
    this.bytes = EMPTY;
    this.end = 0;
    return pieces;
  }

  /** Writes all of it to the socket; false: it has enough for now. */
  send(socket: Socket): boolean {
    const pieces = this.take();
    const wasIdle = socket.writableLength === 0 && socket.writableCorked === 0;
    const [first] = pieces;
    if (first === undefined) return !socket.writableNeedDrain;
    let isWritable = true;
    if (pieces.length === 1) isWritable = socket.write(first);
    else {
      socket.cork();
      for (const piece of pieces) isWritable = socket.write(piece);
      socket.uncork();
    }
    if (hasTaken(socket, wasIdle)) for (const piece of pieces) recycle(piece);
    return isWritable;
  }
}

/**
 * True when nobody reads the memory of a write any more that was made just now: what nothing stood before (`wasIdle`) is
 * encrypted, or sent, as it is written.
 */
export function hasTaken(socket: Socket, wasIdle: boolean): boolean {
  return wasIdle && ('encrypted' in socket || socket.writableLength === 0);
}

function takeLarge(): Buffer {
  return largePool.pop() ?? Buffer.allocUnsafeSlow(LARGE_SLAB_BYTES);
}

function recycle({ buffer }: Buffer): void {
  if (buffer.byteLength === SLAB_BYTES && pool.length < MAX_POOLED_SLABS) pool.push(Buffer.from(buffer));
  else if (buffer.byteLength === LARGE_SLAB_BYTES && largePool.length < MAX_POOLED_LARGE_SLABS)
    largePool.push(Buffer.from(buffer));
}

const EMPTY = Buffer.alloc(0);
