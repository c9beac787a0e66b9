import { CR, LF } from './character-classes.ts';
import { ambiguous, ProtocolError } from './protocol-error.ts';

/** Longest header block, request or status line included; more is 431. The same as Envoy's default. */
export const MAX_HEADER_BYTES = 61_440;

const END = Buffer.from('\r\n\r\n');
/** What is first set aside for a block that comes in parts; doubled as it grows. */
const FIRST_BUFFER_BYTES = 1_024;

/** A complete block: start line and fields, or trailers. Each line ends in CRLF; the empty line is not part of it. */
export interface LineBlock {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
  /** The same as latin1 characters, from `start` to `end`. */
  readonly text: string;
}

/** Collects bytes up to the empty line that ends a header block or a trailer section. */
export class HeadCollector implements LineBlock {
  bytes: Buffer = NONE;
  start = 0;
  end = 0;
  text = '';
  readonly #maxBytes: number;
  readonly #limitName: string;
  #pending: Buffer | undefined;
  #length = 0;

  constructor(maxBytes = MAX_HEADER_BYTES, limitName = 'maxHeaderBytes') {
    this.#maxBytes = maxBytes;
    this.#limitName = limitName;
  }

  /** True while a header block has begun and not ended; an empty line alone (RFC 9112 §2.2) begins none. */
  get hasBegun(): boolean {
    return this.#length > 2 || (this.#length > 0 && this.#pending?.[0] !== CR);
  }

  /**
   * Takes bytes from `offset`. Returns where the rest of them begins when the block is complete (to be read from this
   * object before the next call), -1 when more is needed: all was taken. Throws ProtocolError: a bare LF, too many bytes.
   */
  push(bytes: Buffer, offset: number): number {
    if (this.#pending === undefined) {
      const end = bytes.indexOf(END, offset);
      if (end !== -1 && end - offset <= this.#maxBytes) {
        this.#complete(bytes, offset, end + 2);
        return end + 4;
      }
      this.#keep(bytes, offset);
      return -1;
    }
    const before = this.#length;
    const hasLineEnd = bytes.indexOf(LF, offset) !== -1;
    const taken = this.#append(this.#pending, bytes, offset);
    const buffer = this.#pending;
    const end = hasLineEnd ? buffer.subarray(0, this.#length).indexOf(END, Math.max(0, before - 3)) : -1;
    if (end === -1 || end > this.#maxBytes) {
      if (hasLineEnd) checkLineEnds(buffer, 0, before, this.#length);
      this.#limit(this.#length + (bytes.length - offset - taken));
      return -1;
    }
    this.#complete(buffer, 0, end + 2);
    this.#pending = undefined;
    this.#length = 0;
    return offset + end + 4 - before;
  }

  /** What was read is not needed any more: an idle connection keeps nothing of it alive. */
  release(): void {
    this.bytes = NONE;
    this.text = '';
  }

  #complete(bytes: Buffer, start: number, end: number): void {
    this.bytes = bytes;
    this.start = start;
    this.end = end;
    this.text = bytes.latin1Slice(start, end);
  }

  /** Sets aside the beginning of a block, in a copy: a slice would keep all of a large read alive. */
  #keep(bytes: Buffer, offset: number): void {
    const size = bytes.length - offset;
    if (size === 0) return;
    this.#length = 0;
    this.#append(Buffer.allocUnsafe(FIRST_BUFFER_BYTES), bytes, offset);
    checkLineEnds(this.#pending ?? NONE, 0, 0, this.#length);
    this.#limit(size);
  }

  /** No more than what a block with its end may have; returns how many bytes that were. */
  #append(pending: Buffer, bytes: Buffer, offset: number): number {
    const size = Math.min(bytes.length - offset, this.#maxBytes + END.length - this.#length);
    const length = this.#length + size;
    let buffer = pending;
    if (length > buffer.length) {
      buffer = Buffer.allocUnsafe(Math.max(length, Math.min(buffer.length * 2, this.#maxBytes + END.length)));
      pending.copy(buffer, 0, 0, this.#length);
    }
    bytes.copy(buffer, this.#length, offset, offset + size);
    this.#pending = buffer;
    this.#length = length;
    return size;
  }

  #limit(size: number): void {
    if (size < this.#maxBytes + END.length) return; // all but the last byte of its end may be here
    throw new ProtocolError(
      `${this.#limitName === 'maxHeaderBytes' ? 'header block' : 'trailer section'} exceeds ${this.#limitName} ${this.#maxBytes}`,
      'header_block_too_large',
    );
  }
}

/**
 * Refuses a bare LF from `from` to `end` of a block that begins at `blockStart`: a sender that ends lines so would never
 * be seen to end its block. It is looked for first, so that the reason does not depend on how the bytes were split.
 */
export function checkLineEnds(bytes: Buffer, blockStart: number, from: number, end: number): void {
  let lineFeed = bytes.indexOf(LF, from);
  while (lineFeed !== -1 && lineFeed < end) {
    if (lineFeed === blockStart || bytes[lineFeed - 1] !== CR)
      throw ambiguous('bare "\\n" in the header block (RFC 9112 §2.2)');
    lineFeed = bytes.indexOf(LF, lineFeed + 1);
  }
}

const NONE = Buffer.alloc(0);
