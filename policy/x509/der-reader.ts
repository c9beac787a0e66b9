/** Tags of the types that certificates are made of (X.690 §8). */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** `[number] IMPLICIT` of a primitive type. */
export const contextTag = (number: number) => 0x80 | number;
/** `[number]` around other elements. */
export const constructedTag = (number: number) => 0xa0 | number;

/** More bytes of length than these are never needed: they tell 16 MiB. */
const MAX_LENGTH_BYTES = 3;
/** Longest object identifier that is read; those in use are below 20 bytes. */
const MAX_OID_BYTES = 64;
/** What is beyond 2^53 in an arc of an object identifier could not be told apart as a number. */
const MAX_ARC = 2 ** 46;

/** What is not DER, and where: offset within the bytes that were given. */
export class DerError extends Error {
  readonly position: number;
  readonly complaint: string;

  constructor(complaint: string, position: number) {
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 0; // an answer, not a fault: an attacker shall not buy stack traces with it
    super(`${complaint} (at byte ${position})`);
    Error.stackTraceLimit = limit;
    this.name = 'DerError';
    this.position = position;
    this.complaint = complaint;
  }
}

/**
 * Reads DER from front to back, without copying: what it gives are views. Strict by X.690 §10-11: definite lengths in
 * their shortest form, canonical values, and nothing left over. Depth is that of the caller's grammar: it never descends
 * by itself. Throws DerError.
 */
export class DerReader {
  readonly #bytes: Buffer;
  readonly #end: number;
  #position: number;
  #contentStart = 0;

  constructor(bytes: Buffer, start = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#position = start;
    this.#end = end;
  }

  get isAtEnd(): boolean {
    return this.#position === this.#end;
  }

  /** True when the next element has this tag. */
  isNext(tag: number): boolean {
    return this.#position < this.#end && this.#bytes[this.#position] === tag;
  }

  /** Moves over the next element; gives a reader of its content. */
  enter(tag: number, what: string): DerReader {
    this.#pass(tag, what);
    return this.lastContent();
  }

  /** A reader of the content of the element that was moved over last. */
  lastContent(): DerReader {
    return new DerReader(this.#bytes, this.#contentStart, this.#position);
  }

  /** The content of the next element. */
  content(tag: number, what: string): Buffer {
    this.#pass(tag, what);
    return this.#bytes.subarray(this.#contentStart, this.#position);
  }

  /** The whole next element, header and all. */
  element(tag: number, what: string): Buffer {
    const start = this.#position;
    this.#pass(tag, what);
    return this.#bytes.subarray(start, this.#position);
  }

  /** The next element, of whatever type. */
  any(what: string): { readonly tag: number; readonly content: Buffer } {
    const tag = this.#bytes[this.#position] ?? 0;
    return { tag, content: this.content(tag, what) };
  }

  end(what: string): void {
    if (this.#position !== this.#end) this.fail(`${what}: something follows where it ends`);
  }

  /** X.690 §11.1. */
  boolean(what: string): boolean {
    this.#pass(TAG.boolean, what);
    const value = this.#bytes[this.#contentStart];
    const isCanonical = this.#position - this.#contentStart === 1 && (value === 0 || value === 0xff);
    if (!isCanonical) this.fail(`${what}: not a canonical BOOLEAN`);
    return value === 0xff;
  }

  /** Two's complement, in as few bytes as it needs (X.690 §8.3.2). */
  integer(what: string): Buffer {
    const value = this.content(TAG.integer, what);
    const [first, second = 0] = value;
    const isPadded = value.length > 1 && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80));
    if (first === undefined || isPadded) this.fail(`${what}: not a canonical INTEGER`);
    return value;
  }

  /** `unusedBits` at the end are zero (X.690 §11.2.1). */
  bitString(what: string): { readonly bytes: Buffer; readonly unusedBits: number } {
    const content = this.content(TAG.bitString, what);
    const unusedBits = content[0] ?? 8;
    const last = content[content.length - 1] ?? 0;
    const isCanonical = content.length === 1 ? unusedBits === 0 : (last & ((1 << unusedBits) - 1)) === 0;
    if (unusedBits > 7 || !isCanonical) this.fail(`${what}: not a canonical BIT STRING`);
    return { bytes: content.subarray(1), unusedBits };
  }

  /** A BIT STRING of whole bytes. */
  wholeBits(what: string): Buffer {
    const { bytes, unusedBits } = this.bitString(what);
    if (unusedBits !== 0) this.fail(`${what}: not of whole bytes`);
    return bytes;
  }

  null(what: string): void {
    if (this.content(TAG.null, what).length !== 0) this.fail(`${what}: not a canonical NULL`);
  }

  /** In dotted form (X.690 §8.19). */
  oid(what: string): string {
    this.#pass(TAG.oid, what);
    const [bytes, start, end] = [this.#bytes, this.#contentStart, this.#position];
    const last = end === start ? 0x80 : (bytes[end - 1] ?? 0x80);
    if (last >= 0x80 || end - start > MAX_OID_BYTES) this.fail(`${what}: not an object identifier`);
    let text = '';
    let arc = 0;
    for (let index = start; index < end; index++) {
      const byte = bytes[index] ?? 0;
      if ((arc === 0 && byte === 0x80) || arc > MAX_ARC) this.fail(`${what}: not a canonical object identifier`);
      arc = arc * 128 + (byte & 0x7f);
      if (byte >= 0x80) continue;
      text += text === '' ? firstArcs(arc) : `.${arc}`;
      arc = 0;
    }
    return text;
  }

  fail(complaint: string): never {
    throw new DerError(complaint, this.#position);
  }

  /** Reads the header of the next element and moves behind its content. */
  #pass(tag: number, what: string): void {
    const bytes = this.#bytes;
    const start = this.#position;
    const [found, first] = [bytes[start], bytes[start + 1]];
    if (start + 2 > this.#end || first === undefined) throw new DerError(`${what}: missing or cut short`, start);
    // tags of more bytes than one (X.690 §8.1.2.4) begin with 31 in the lower bits; certificates have none
    if (found !== tag || (found & 0x1f) === 0x1f) {
      throw new DerError(`${what}: tag 0x${hex(found ?? 0)} in place of 0x${hex(tag)}`, start);
    }
    let position = start + 2;
    let length = first;
    if (first >= 0x80) {
      const lengthBytes = first & 0x7f;
      if (lengthBytes === 0 || lengthBytes > MAX_LENGTH_BYTES) throw new DerError(`${what}: bad length`, start);
      length = 0;
      for (let index = 0; index < lengthBytes; index++) length = length * 256 + (bytes[position++] ?? 0);
      // X.690 §10.1: the shortest form
      if (length < 0x80 || length < 256 ** (lengthBytes - 1)) {
        throw new DerError(`${what}: length not in its shortest form`, start);
      }
    }
    if (position + length > this.#end) throw new DerError(`${what}: ${length} bytes exceed what holds it`, start);
    this.#contentStart = position;
    this.#position = position + length;
  }
}

/** X.690 §8.19.4: the first two arcs share a number. */
function firstArcs(joined: number): string {
  const first = Math.min(2, Math.floor(joined / 40));
  return `${first}.${joined - first * 40}`;
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, '0');
}
