/** Room that is kept free behind whatever was asked for: single characters need not ask. */
const SPARE_BYTES = 32;
const ZERO = 0x30;

/** Text as bytes, written piece by piece: nothing is left for the collector to clear away. Grows as needed. */
export class ByteText {
  bytes: Buffer;
  end = 0;
  readonly #initialBytes: number;

  constructor(initialBytes: number) {
    this.#initialBytes = initialBytes;
    this.bytes = Buffer.allocUnsafeSlow(initialBytes);
  }

  /** Text of one byte a character (Latin-1), as it is. */
  latin1(text: string): void {
    const end = this.end + this.bytes.latin1Write(text, this.end);
    // near the end of the memory it may have been cut off: only then is its length looked at, which costs as much again
    if (end > this.bytes.length - SPARE_BYTES) this.#growFor(text);
    else this.end = end;
  }

  #growFor(text: string): void {
    this.room(text.length);
    this.end += this.bytes.latin1Write(text, this.end);
  }

  /** A few bytes that stand ready: a loop is quicker than a call into Node, by some 50 ns each. */
  constant(constant: Uint8Array): void {
    const { length } = constant;
    this.room(length);
    const { bytes, end } = this;
    for (let at = 0; at < length; at++) bytes[end + at] = constant[at] ?? 0;
    this.end = end + length;
  }

  /** A whole number that is not negative, in decimal digits. */
  integer(value: number): void {
    this.room(0);
    if (value < 10) {
      this.bytes[this.end++] = ZERO + value;
      return;
    }
    let size = 1;
    for (let bound = 10; bound <= value; bound *= 10) size++;
    let left = value;
    for (let at = this.end + size - 1; at >= this.end; at--) {
      const next = Math.floor(left / 10);
      this.bytes[at] = ZERO + (left - next * 10);
      left = next;
    }
    this.end += size;
  }

  /** Bytes, as they are. */
  copy(chunk: Buffer): void {
    this.room(chunk.length);
    chunk.copy(this.bytes, this.end);
    this.end += chunk.length;
  }

  /** Makes room for `size` bytes, and a few. */
  room(size: number): void {
    if (this.end + size + SPARE_BYTES <= this.bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(this.bytes.length * 2, this.end + size + SPARE_BYTES));
    this.bytes.copy(grown, 0, 0, this.end);
    this.bytes = grown;
  }

  /** Begins anew; memory that one long text has taken is given back. */
  reset(): void {
    this.end = 0;
    if (this.bytes.length > this.#initialBytes) this.replace();
  }

  /** Begins anew in other memory: what was written is somebody's now. */
  replace(): void {
    this.end = 0;
    this.bytes = Buffer.allocUnsafeSlow(this.#initialBytes);
  }
}
