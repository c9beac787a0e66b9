import { ENTRY_OVERHEAD_BYTES } from './decoder-table.ts';
import type { NameHistory } from './name-history.ts';
import { STATIC_ENTRIES } from './static-table.ts';

/** Places at first; they double as the table fills, up to one for each ENTRY_OVERHEAD_BYTES of it. */
const FIRST_PLACES = 16;

/**
 * The peer's dynamic table as its encoder knows it (RFC 7541 §2.3.2). Entries are numbered as they come; looking up is
 * the histories' affair, which are told what is evicted.
 */
export class EncoderTable {
  #histories: (NameHistory | undefined)[] = new Array<NameHistory | undefined>(FIRST_PLACES).fill(undefined);
  #values: string[] = new Array<string>(FIRST_PLACES).fill('');
  #mask = FIRST_PLACES - 1;
  /** Number of the next entry. */
  #next = 0;
  #count = 0;
  #bytes = 0;
  #maxBytes: number;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get maxBytes(): number {
    return this.#maxBytes;
  }

  /** The index of an entry by its number, which is in the table. */
  indexOf(number: number): number {
    return STATIC_ENTRIES + this.#next - number;
  }

  /** The value of an entry by its number, which is in the table. */
  valueOf(number: number): string {
    return this.#values[number & this.#mask] ?? '';
  }

  /** True while the entry of this number is in the table; -1 is none. */
  has(number: number): boolean {
    return number >= this.#next - this.#count && number >= 0;
  }

  /** RFC 7541 §4.3. */
  resize(maxBytes: number): void {
    this.#maxBytes = maxBytes;
    this.#evictTo(maxBytes);
  }

  /** RFC 7541 §4.4, for an entry that is not larger than the table. */
  add(history: NameHistory, copy: string): void {
    const size = history.name.length + copy.length + ENTRY_OVERHEAD_BYTES;
    this.#evictTo(this.#maxBytes - size);
    if (this.#count > this.#mask) this.#grow();
    const place = this.#next & this.#mask;
    this.#histories[place] = history;
    this.#values[place] = copy;
    history.added(copy, this.#next);
    this.#next++;
    this.#count++;
    this.#bytes += size;
  }

  #evictTo(maxBytes: number): void {
    while (this.#bytes > maxBytes) {
      const number = this.#next - this.#count;
      const place = number & this.#mask;
      const history = this.#histories[place];
      const value = this.#values[place] ?? '';
      if (history === undefined) return; // cannot be: an empty table has no bytes
      this.#bytes -= history.name.length + value.length + ENTRY_OVERHEAD_BYTES;
      this.#count--;
      this.#histories[place] = undefined;
      this.#values[place] = '';
      history.evicted(value, number);
    }
  }

  #grow(): void {
    const places = (this.#mask + 1) * 2;
    const histories = new Array<NameHistory | undefined>(places).fill(undefined);
    const values = new Array<string>(places).fill('');
    for (let number = this.#next - this.#count; number < this.#next; number++) {
      histories[number & (places - 1)] = this.#histories[number & this.#mask];
      values[number & (places - 1)] = this.#values[number & this.#mask] ?? '';
    }
    this.#histories = histories;
    this.#values = values;
    this.#mask = places - 1;
  }
}
