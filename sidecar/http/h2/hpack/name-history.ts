/**
 * What to do with a value that no table has. Numbers, not strings: this is asked for every such field.
 */
export const LEAVE_OUT = 0;
/** Put it into the table. */
export const PUT_IN = 1;
/** Leave it out, and tell `remember` a copy of it. */
export const REMEMBER = 2;

/** Fresh names may be put in for three values that nobody repeats. */
const FIRST_CREDIT = 6;
const PUT_IN_COST = 2;
/** A name that repeated well goes on being put in for ten new values in a row. */
const MAX_CREDIT = 20;
/** Values that were left out in a row, until those in the table are no longer looked up and another one is remembered. */
const ROUND = 8;
/** Longer values of a name that churned are not remembered, so never put in again. */
const MAX_REMEMBERED_BYTES = 1_024;
const NOTHING: readonly string[] = [];

/**
 * What an encoder knows of one header name: where its values are in the tables, and by the hits and misses so far
 * whether new values are worth the table's room. A value that comes again earns credit, a value that is put in costs
 * some; without credit values are left out, until one comes again that was remembered (one in ROUND is).
 */
export class NameHistory {
  readonly name: string;
  /** Index of the name in the static table, 0: none; its values there have the indices from here on. */
  readonly staticIndex: number;
  readonly staticValues: readonly string[];
  /** True: never in a table. Undefined: the name came once and nobody asked yet. */
  isSecret: boolean | undefined;
  /** The value that was found in the table last, while it is there; its number. */
  lastValue: string | undefined = undefined;
  lastNumber = -1;
  /** Number of the newest entry of this name, which may be gone from the table; -1: none. */
  newestNumber = -1;
  /** Numbers of the table's entries by value: a part of them after a round of misses. */
  #numbers: Map<string, number> | undefined = undefined;
  #credit = FIRST_CREDIT;
  #misses = 0;
  #remembered: string | undefined = undefined;

  constructor(name: string, staticIndex = 0, staticValues = NOTHING, isSecret: boolean | undefined = undefined) {
    this.name = name;
    this.staticIndex = staticIndex;
    this.staticValues = staticValues;
    this.isSecret = isSecret;
  }

  /** The number of the table's entry with this value, -1: none is known. */
  numberOf(value: string): number {
    return this.#numbers?.get(value) ?? -1;
  }

  /** A value was found in the table, as the entry of this number, which has it as `copy`. */
  hit(copy: string, number: number): void {
    this.lastValue = copy;
    this.lastNumber = number;
    this.#misses = 0;
    if (this.#credit < MAX_CREDIT) this.#credit++;
  }

  /** A value was in no table: LEAVE_OUT, PUT_IN or REMEMBER. `hasName`: the name alone is in a table. */
  miss(value: string, hasName: boolean): number {
    if (this.#credit >= PUT_IN_COST) {
      this.#credit -= PUT_IN_COST;
      return PUT_IN;
    }
    if (value === this.#remembered) return PUT_IN;
    this.#misses++;
    if (this.#misses % ROUND !== 0) return LEAVE_OUT;
    this.#numbers = undefined;
    this.lastValue = undefined;
    // the name went out of the table with its last value; brought back, it shortens every field to come
    if (!hasName) return PUT_IN;
    return value.length <= MAX_REMEMBERED_BYTES ? REMEMBER : LEAVE_OUT;
  }

  remember(copy: string): void {
    this.#remembered = copy;
  }

  /** A value was put into the table, as its entry of this number. `copy` holds nothing but itself. */
  added(copy: string, number: number): void {
    this.#remembered = undefined;
    this.#numbers ??= new Map();
    this.#numbers.set(copy, number);
    this.newestNumber = number;
    this.lastValue = copy;
    this.lastNumber = number;
  }

  /** An entry was evicted. */
  evicted(value: string, number: number): void {
    if (this.lastNumber === number) this.lastValue = undefined;
    // the same value may have been put in again under a newer number
    if (this.#numbers !== undefined && this.#numbers.get(value) === number) this.#numbers.delete(value);
  }
}
