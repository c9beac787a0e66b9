/** Pieces that are shorter share a block. */
const SHORTEST_BLOCK_BYTES = 1024;
const LONGEST_BLOCK_BYTES = 64 * 1024;

/**
 * Bytes of a body as they come. Takes at most twice their number in memory, in however short pieces they come: a Buffer for each of a thousand
 * single bytes would take a hundred times as much.
 */
export class HeldBytes {
  /** Number of bytes. */
  size = 0;
  readonly #blocks: Buffer[] = [];
  /** The last block, where it has room. */
  #open: Buffer | undefined;
  #openBytes = 0;

  /** Copies them. */
  push(bytes: Buffer): void {
    let rest = bytes;
    if (this.#open !== undefined) {
      const taken = rest.copy(this.#open, this.#openBytes);
      this.#openBytes += taken;
      rest = rest.subarray(taken);
      if (this.#openBytes === this.#open.length) this.#close(this.#open);
    }
    if (rest.length > 0) this.#begin(rest);
    this.size += bytes.length;
  }

  /** In order; good until the next is pushed. */
  blocks(): readonly Buffer[] {
    return this.#open === undefined ? this.#blocks : [...this.#blocks, this.#open.subarray(0, this.#openBytes)];
  }

  #begin(bytes: Buffer): void {
    if (this.size === 0 || bytes.length >= SHORTEST_BLOCK_BYTES) {
      this.#blocks.push(Buffer.from(bytes)); // most bodies come in one piece
      return;
    }
    this.#open = Buffer.allocUnsafeSlow(Math.min(Math.max(this.size, SHORTEST_BLOCK_BYTES), LONGEST_BLOCK_BYTES));
    this.#openBytes = bytes.copy(this.#open);
  }

  #close(block: Buffer): void {
    this.#blocks.push(block);
    this.#open = undefined;
  }
}
