import { isSecretName } from '#policy/http/is-secret-name.ts';
import { ENTRY_OVERHEAD_BYTES } from './decoder-table.ts';
import { EncoderTable } from './encoder-table.ts';
import { MAX_INTEGER_BYTES, writeInteger } from './integer.ts';
import { writeLatin1 } from './latin1.ts';
import { NameHistory, PUT_IN, REMEMBER } from './name-history.ts';
import { STATIC_BY_NAME, STATIC_NAMES } from './static-table.ts';

/** Most of the peer's table that is used, whatever it offers: what a connection's memory may cost. */
export const MAX_ENCODER_TABLE_BYTES = 16_384;
/** SETTINGS_HEADER_TABLE_SIZE before the peer's settings came (RFC 9113 §6.5.2). */
const DEFAULT_TABLE_BYTES = 4_096;
/** An entry may take a quarter of the table: a few large values would drive all others out. */
const MAX_ENTRY_SHARE = 1 / 4;
/** Names whose histories are kept: two generations of half as many, so that names of one time go, and no name scans. */
const MAX_TRACKED_NAMES = 128;
/** Longer names are neither tracked nor indexed. */
const MAX_TRACKED_NAME_BYTES = 128;

// RFC 7541 §6.1, §6.2.1, §6.2.2, §6.2.3, §6.3: first bits, and the mask of the integer after them
const INDEXED = 0x80;
const INDEXED_MASK = 0x7f;
const PUT_INTO_TABLE = 0x40;
const PUT_INTO_TABLE_MASK = 0x3f;
const NOT_INDEXED = 0x00;
const NEVER_INDEXED = 0x10;
const NOT_INDEXED_MASK = 0x0f;
const SIZE_UPDATE = 0x20;
const SIZE_UPDATE_MASK = 0x1f;
/** Strings are sent as they are (H = 0): Huffman's code saves a third of bytes that are few, for time on both sides. */
const PLAIN_STRING = 0x00;
const STRING_MASK = 0x7f;

/** Names of the static table whose values are never indexed. Pseudo-headers are not judged by their names. */
const SECRET_STATIC_NAMES: ReadonlySet<string> = new Set(STATIC_NAMES.filter(isSecretHeader));

/** isSecretName knows authorization, proxy-authorization, cookie and set-cookie; `:authority` only looks like them. */
function isSecretHeader(name: string): boolean {
  return !name.startsWith(':') && isSecretName(name);
}

/**
 * Header blocks of one connection's sending side (RFC 7541). Fields that repeat go into the peer's table; names whose
 * values never come again are soon given up, and secrets are marked never to be indexed (RFC 7541 §7.1.3). Names are
 * told apart by case. A block is written in one go: `begin`, then its fields.
 */
export class HeaderEncoder {
  /** Most bytes that `begin` writes. */
  static readonly MAX_BEGIN_BYTES = 2 * MAX_INTEGER_BYTES;

  readonly #table = new EncoderTable(DEFAULT_TABLE_BYTES);
  #names = new Map<string, NameHistory>();
  #olderNames = new Map<string, NameHistory>();
  /** Size of the table from the next block on, and the smallest one that the peer wanted until then. */
  #wantedBytes = DEFAULT_TABLE_BYTES;
  #smallestBytes = DEFAULT_TABLE_BYTES;

  /** Most bytes that `field` writes: an integer before each of name and value, and one for the name's index. */
  static maxFieldBytes(name: string, value: string): number {
    return name.length + value.length + 3 * MAX_INTEGER_BYTES;
  }

  /**
   * The peer's SETTINGS_HEADER_TABLE_SIZE (default 4096); at most MAX_ENCODER_TABLE_BYTES of it are used. A change is
   * told at the beginning of the next block (RFC 7541 §4.2).
   */
  setMaxTableBytes(bytes: number): void {
    this.#wantedBytes = Math.min(bytes, MAX_ENCODER_TABLE_BYTES);
    this.#smallestBytes = Math.min(this.#smallestBytes, this.#wantedBytes);
  }

  /** Begins a header block: writes pending table size updates. Returns the new offset. */
  begin(target: Buffer, offset: number): number {
    if (this.#smallestBytes === this.#table.maxBytes && this.#wantedBytes === this.#table.maxBytes) return offset;
    let at = offset;
    // RFC 7541 §4.2: the smallest size in between is told too, for what it evicts
    if (this.#smallestBytes < this.#wantedBytes && this.#smallestBytes < this.#table.maxBytes) {
      at = this.#resize(this.#smallestBytes, target, at);
    }
    if (this.#wantedBytes !== this.#table.maxBytes) at = this.#resize(this.#wantedBytes, target, at);
    this.#smallestBytes = this.#wantedBytes;
    return at;
  }

  #resize(bytes: number, target: Buffer, offset: number): number {
    this.#table.resize(bytes);
    return writeInteger(bytes, SIZE_UPDATE, SIZE_UPDATE_MASK, target, offset);
  }

  /** Writes one field; target has room. Names and values are latin1 (one byte a character). Returns the new offset. */
  field(name: string, value: string, target: Buffer, offset: number): number {
    const history = this.#names.get(name) ?? this.#findHistory(name);
    if (history === undefined) return this.#writeNewName(name, value, target, offset);
    if (value === history.lastValue) {
      history.hit(history.lastValue, history.lastNumber);
      return writeInteger(this.#table.indexOf(history.lastNumber), INDEXED, INDEXED_MASK, target, offset);
    }
    const staticValues = history.staticValues;
    for (let index = 0; index < staticValues.length; index++) {
      if (value === staticValues[index]) {
        return writeInteger(history.staticIndex + index, INDEXED, INDEXED_MASK, target, offset);
      }
    }
    history.isSecret ??= isSecretHeader(name);
    if (history.isSecret) return this.#writeLiteral(NEVER_INDEXED, NOT_INDEXED_MASK, history, value, target, offset);
    const number = history.numberOf(value);
    if (number !== -1) {
      history.hit(this.#table.valueOf(number), number);
      return writeInteger(this.#table.indexOf(number), INDEXED, INDEXED_MASK, target, offset);
    }
    return this.#writeMissed(history, value, target, offset);
  }

  /** A value that no table has. */
  #writeMissed(history: NameHistory, value: string, target: Buffer, offset: number): number {
    const size = history.name.length + value.length + ENTRY_OVERHEAD_BYTES;
    if (size > this.#table.maxBytes * MAX_ENTRY_SHARE) {
      return this.#writeLiteral(NOT_INDEXED, NOT_INDEXED_MASK, history, value, target, offset);
    }
    const action = history.miss(value, history.staticIndex !== 0 || this.#table.has(history.newestNumber));
    if (action === PUT_IN) {
      const end = this.#writeLiteral(PUT_INTO_TABLE, PUT_INTO_TABLE_MASK, history, value, target, offset);
      this.#table.add(history, target.latin1Slice(end - value.length, end));
      return end;
    }
    const end = this.#writeLiteral(NOT_INDEXED, NOT_INDEXED_MASK, history, value, target, offset);
    // read back from the bytes: a value may be a slice of a whole HTTP/1.1 header block, which would live as long
    if (action === REMEMBER) history.remember(target.latin1Slice(end - value.length, end));
    return end;
  }

  #writeLiteral(
    flags: number,
    mask: number,
    history: NameHistory,
    value: string,
    target: Buffer,
    offset: number,
  ): number {
    let at: number;
    if (history.staticIndex !== 0) at = writeInteger(history.staticIndex, flags, mask, target, offset);
    else if (this.#table.has(history.newestNumber)) {
      at = writeInteger(this.#table.indexOf(history.newestNumber), flags, mask, target, offset);
    } else {
      target[offset] = flags;
      at = writeString(history.name, target, offset + 1);
    }
    return writeString(value, target, at);
  }

  /** The history of a name that this generation has not seen; undefined: of a name that may come only once. */
  #findHistory(name: string): NameHistory | undefined {
    let history = this.#olderNames.get(name);
    if (history === undefined) {
      const known = STATIC_BY_NAME.get(name);
      if (known === undefined) return undefined;
      history = new NameHistory(known.name, known.index, known.values, SECRET_STATIC_NAMES.has(known.name));
    }
    this.#track(history);
    return history;
  }

  #track(history: NameHistory): void {
    if (this.#names.size >= MAX_TRACKED_NAMES / 2) {
      this.#olderNames = this.#names;
      this.#names = new Map();
    }
    this.#names.set(history.name, history);
  }

  /**
   * The first time of a name. It may be one of many that come once: it takes no room in the table, and whether it is
   * secret is asked at the second time, so that until then it counts as secret.
   */
  #writeNewName(name: string, value: string, target: Buffer, offset: number): number {
    target[offset] = NEVER_INDEXED;
    const end = writeString(name, target, offset + 1);
    if (name.length <= MAX_TRACKED_NAME_BYTES) {
      this.#track(new NameHistory(target.latin1Slice(end - name.length, end)));
    }
    return writeString(value, target, end);
  }
}

function writeString(text: string, target: Buffer, offset: number): number {
  return writeLatin1(text, target, writeInteger(text.length, PLAIN_STRING, STRING_MASK, target, offset));
}
