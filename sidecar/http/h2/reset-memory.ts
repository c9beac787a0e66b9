/** Streams that we reset and of which frames may still be under way. */
const MAX_REMEMBERED_RESETS = 4_096;

/** Remembers the streams that we reset: frames on them are no fault of the other side's, who may not know yet. */
export class ResetMemory {
  readonly #ids = new Set<number>();
  /** Up to here it is not known any more; the other side gets the benefit of the doubt. */
  #forgottenUpTo = 0;

  remember(id: number): void {
    this.#ids.add(id);
    if (this.#ids.size <= MAX_REMEMBERED_RESETS) return;
    const [oldest = 0] = this.#ids;
    this.#ids.delete(oldest);
    this.#forgottenUpTo = Math.max(this.#forgottenUpTo, oldest);
  }

  has(id: number): boolean {
    return id <= this.#forgottenUpTo || this.#ids.has(id);
  }
}
