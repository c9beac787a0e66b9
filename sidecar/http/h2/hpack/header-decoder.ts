import { DecoderTable, ENTRY_OVERHEAD_BYTES } from './decoder-table.ts';
import { decodeHuffman, maxDecodedBytes } from './huffman.ts';
import './latin1.ts';
import { STATIC_ENTRIES, STATIC_NAMES, STATIC_VALUES } from './static-table.ts';

/** SETTINGS_HEADER_TABLE_SIZE before anything was announced (RFC 9113 §6.5.2). */
export const DEFAULT_TABLE_BYTES = 4_096;
/** Bytes of an integer after its prefix: 28 bits, more than any block has; RFC 7541 §5.1 wants a limit. */
const MAX_INTEGER_BYTES = 4;
/** Huffman strings up to here are decoded without an allocation. */
const SCRATCH_BYTES = 4_096;
/** Shared by all decoders: what is in it is turned into a string at once. */
const scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);

/** Thrown for a block that cannot be decoded: the connection must end with COMPRESSION_ERROR (RFC 9113 §4.3). */
export class CompressionError extends Error {
  constructor(message: string) {
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 0; // a peer's fault, and caused at will
    super(message);
    Error.stackTraceLimit = limit;
    this.name = 'CompressionError';
  }
}

/**
 * Header blocks of one connection's receiving side (RFC 7541). After a CompressionError it is of no more use.
 * Holds at most the announced table (4,096 bytes at least: what a peer may use before it knows our settings).
 */
export class HeaderDecoder {
  /** True after `decode` if the list exceeded a limit, until the next call. */
  isTooLarge = false;
  /** The limit that was exceeded: `maxHeaderListBytes 61440` or `maxHeaderFields 256`; empty: none. */
  tooLargeReason = '';
  readonly #maxTableBytes: number;
  readonly #table = new DecoderTable(DEFAULT_TABLE_BYTES);
  #position = 0;

  /** `maxTableBytes`: SETTINGS_HEADER_TABLE_SIZE that we announced (default 4096). */
  constructor(maxTableBytes = DEFAULT_TABLE_BYTES) {
    this.#maxTableBytes = maxTableBytes;
  }

  /**
   * Decodes the whole block bytes[start, end) and returns flat fields [name, value, …] as latin1 strings, with no look
   * at their characters. `maxListBytes`: limit by RFC 9113's measure (name + value + 32 each, §6.5.2), `maxFields`:
   * their count. If one is exceeded, decoding goes on (the dynamic table must stay in step) but no more fields are
   * kept, and `isTooLarge` is true until the next call. Throws CompressionError.
   */
  decode(bytes: Buffer, start: number, end: number, maxListBytes: number, maxFields: number): string[] {
    const fields: string[] = [];
    this.isTooLarge = false;
    this.tooLargeReason = '';
    this.#position = start;
    const table = this.#table;
    let listBytes = 0;
    let isKept = true;
    let name: string;
    let value: string;
    this.#readSizeUpdates(bytes, end);
    while (this.#position < end) {
      const first = bytes[this.#position] ?? 0;
      if (first >= 0x80) {
        const index = this.#readInteger(bytes, end, 0x7f);
        if (index <= STATIC_ENTRIES) {
          if (index === 0) throw new CompressionError('index 0 (RFC 7541 §6.1)');
          name = STATIC_NAMES[index] ?? '';
          value = STATIC_VALUES[index] ?? '';
        } else {
          if (!table.has(index)) throw this.#noEntry(index);
          name = table.nameAt(index);
          value = table.valueAt(index);
        }
      } else if (first >= 0x40) {
        const index = this.#readInteger(bytes, end, 0x3f);
        name = index === 0 ? this.#readString(bytes, end, true) : this.#nameAt(index);
        value = this.#readString(bytes, end, true);
        table.add(name, value);
      } else {
        if (first >= 0x20) throw new CompressionError('a table size update after a field (RFC 7541 §4.2)');
        const index = this.#readInteger(bytes, end, 0x0f);
        name = index === 0 ? this.#readString(bytes, end, isKept) : this.#nameAt(index);
        value = this.#readString(bytes, end, isKept);
      }
      if (!isKept) continue;
      listBytes += name.length + value.length + ENTRY_OVERHEAD_BYTES;
      if (listBytes > maxListBytes) {
        this.#exceed(`maxHeaderListBytes ${maxListBytes}`);
        isKept = false;
      } else if (fields.length >= maxFields * 2) {
        this.#exceed(`maxHeaderFields ${maxFields}`);
        isKept = false;
      } else fields.push(name, value);
    }
    return fields;
  }

  #exceed(limit: string): void {
    this.isTooLarge = true;
    this.tooLargeReason = limit;
  }

  /** RFC 7541 §4.2: at the beginning of a block only. */
  #readSizeUpdates(bytes: Buffer, end: number): void {
    while (this.#position < end && ((bytes[this.#position] ?? 0) & 0xe0) === 0x20) {
      const maxBytes = this.#readInteger(bytes, end, 0x1f);
      if (maxBytes > this.#maxTableBytes) {
        throw new CompressionError(
          `a table size update to ${maxBytes} exceeds SETTINGS_HEADER_TABLE_SIZE ${this.#maxTableBytes} (RFC 7541 §6.3)`,
        );
      }
      this.#table.resize(maxBytes);
    }
  }

  #nameAt(index: number): string {
    if (index <= STATIC_ENTRIES) return STATIC_NAMES[index] ?? '';
    if (!this.#table.has(index)) throw this.#noEntry(index);
    return this.#table.nameAt(index);
  }

  #noEntry(index: number): CompressionError {
    return new CompressionError(
      `index ${index} is beyond the tables' ${STATIC_ENTRIES + this.#table.count} entries (RFC 7541 §2.3.3)`,
    );
  }

  /** RFC 7541 §5.1; `mask` covers the bits of the prefix. There is a first byte. */
  #readInteger(bytes: Buffer, end: number, mask: number): number {
    const value = (bytes[this.#position++] ?? 0) & mask;
    return value < mask ? value : this.#readLongInteger(bytes, end, mask);
  }

  #readLongInteger(bytes: Buffer, end: number, mask: number): number {
    let value = mask;
    for (let shift = 0; shift < MAX_INTEGER_BYTES * 7; shift += 7) {
      if (this.#position >= end) throw new CompressionError('the block ends within an integer (RFC 7541 §5.1)');
      const byte = bytes[this.#position++] ?? 0;
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new CompressionError(`an integer of more than ${MAX_INTEGER_BYTES} bytes after its prefix (RFC 7541 §5.1)`);
  }

  /** The length of a string that the block has to its end (RFC 7541 §5.2). */
  #readLength(bytes: Buffer, end: number): number {
    if (this.#position >= end) throw new CompressionError('the block ends within a field (RFC 7541 §6.2)');
    const length = this.#readInteger(bytes, end, 0x7f);
    if (length > end - this.#position) {
      throw new CompressionError(
        `a string of ${length} bytes where the block has ${end - this.#position} more (RFC 7541 §5.2)`,
      );
    }
    return length;
  }

  /** A string literal, which holds nothing but itself; empty where it is not wanted, but checked all the same. */
  #readString(bytes: Buffer, end: number, isWanted: boolean): string {
    const isHuffman = (bytes[this.#position] ?? 0) >= 0x80;
    const length = this.#readLength(bytes, end);
    const start = this.#position;
    this.#position = start + length;
    if (isHuffman) return huffmanString(bytes, start, start + length, isWanted);
    return isWanted ? bytes.latin1Slice(start, start + length) : '';
  }
}

function huffmanString(bytes: Buffer, start: number, end: number, isWanted: boolean): string {
  const room = maxDecodedBytes(end - start);
  const target = room <= SCRATCH_BYTES ? scratch : Buffer.allocUnsafe(room);
  const length = decodeHuffman(bytes, start, end, target);
  if (length === -1) throw new CompressionError('a Huffman string with EOS or bad padding (RFC 7541 §5.2)');
  return isWanted ? target.latin1Slice(0, length) : '';
}
