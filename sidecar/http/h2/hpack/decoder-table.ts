import { STATIC_ENTRIES } from './static-table.ts';

/** What an entry costs beside its characters (RFC 7541 §4.1). */
export const ENTRY_OVERHEAD_BYTES = 32;
/** Places at first; they double as the table fills, up to one for each ENTRY_OVERHEAD_BYTES of it. */
const FIRST_PLACES = 16;

/** The dynamic table of a decoder (RFC 7541 §2.3.2): a ring, so that neither adding nor evicting moves entries. */
export class DecoderTable {
  #names: string[] = new Array<string>(FIRST_PLACES).fill('');
  #values: string[] = new Array<string>(FIRST_PLACES).fill('');
  #mask = FIRST_PLACES - 1;
  /** Entries that were ever added; the newest one has the number before. */
  #added = 0;
  #count = 0;
  #bytes = 0;
  #maxBytes: number;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get count(): number {
    return this.#count;
  }

  /** By RFC 7541's measure (§4.1). */
  get bytes(): number {
    return this.#bytes;
  }

  /** True if an index beyond the static table names an entry. */
  has(index: number): boolean {
    return index - STATIC_ENTRIES <= this.#count;
  }

  /** The name of an entry that the table has. */
  nameAt(index: number): string {
    return this.#names[(this.#added - (index - STATIC_ENTRIES)) & this.#mask] ?? '';
  }

  /** The value of an entry that the table has. */
  valueAt(index: number): string {
    return this.#values[(this.#added - (index - STATIC_ENTRIES)) & this.#mask] ?? '';
  }

  /** RFC 7541 §4.3. */
  resize(maxBytes: number): void {
    this.#maxBytes = maxBytes;
    this.#evictTo(maxBytes);
  }

  /** RFC 7541 §4.4: an entry larger than the table empties it, and is not added. */
  add(name: string, value: string): void {
    const size = name.length + value.length + ENTRY_OVERHEAD_BYTES;
    this.#evictTo(this.#maxBytes - size);
    if (size > this.#maxBytes) return;
    if (this.#count > this.#mask) this.#grow();
    const place = this.#added & this.#mask;
    this.#names[place] = name;
    this.#values[place] = value;
    this.#added++;
    this.#count++;
    this.#bytes += size;
  }

  #evictTo(maxBytes: number): void {
    while (this.#bytes > maxBytes && this.#count > 0) {
      const place = (this.#added - this.#count) & this.#mask;
      this.#bytes -= (this.#names[place] ?? '').length + (this.#values[place] ?? '').length + ENTRY_OVERHEAD_BYTES;
      this.#names[place] = '';
      this.#values[place] = '';
      this.#count--;
    }
  }

  #grow(): void {
    const places = (this.#mask + 1) * 2;
    const names = new Array<string>(places).fill('');
    const values = new Array<string>(places).fill('');
    for (let number = this.#added - this.#count; number < this.#added; number++) {
      names[number & (places - 1)] = this.#names[number & this.#mask] ?? '';
      values[number & (places - 1)] = this.#values[number & this.#mask] ?? '';
    }
    this.#names = names;
    this.#values = values;
    this.#mask = places - 1;
  }
}
