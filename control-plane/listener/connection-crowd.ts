/** How many connections there may be. */
export interface CrowdLimits {
  readonly total: number;
  readonly ofAddress: number;
  /**
   * Where all places are taken: `newcomer`, who comes is refused; `most`, the address that has most of them loses its
   * latest to an address that has fewer even then. Equals keep what they have, or they would take it from each other all day.
   */
  readonly whenFull: 'newcomer' | 'most';
}

/** A connection, as far as it may be told to end. */
export interface Guest {
  end(): void;
}

export type Entry = 'entered' | 'address_full' | 'full';

/** Connections by address, within bounds. */
export class ConnectionCrowd {
  readonly #limits: CrowdLimits;
  readonly #byAddress = new Map<string, Set<Guest>>();
  #size = 0;

  constructor(limits: CrowdLimits) {
    this.#limits = limits;
  }

  enter(address: string, guest: Guest): Entry {
    const { total, ofAddress, whenFull } = this.#limits;
    const own = this.#byAddress.get(address)?.size ?? 0;
    if (own >= ofAddress) return 'address_full';
    if (this.#size >= total && (whenFull === 'newcomer' || !this.#takeFromGreatest(own))) return 'full';
    const guests = this.#byAddress.get(address) ?? new Set<Guest>();
    this.#byAddress.set(address, guests.add(guest));
    this.#size += 1;
    return 'entered';
  }

  get isEmpty(): boolean {
    return this.#size === 0;
  }

  /** What is not there changes nothing. */
  leave(address: string, guest: Guest): void {
    const guests = this.#byAddress.get(address);
    if (guests?.delete(guest) !== true) return;
    this.#size -= 1;
    if (guests.size === 0) this.#byAddress.delete(address);
  }

  /** False: whichever address lost one would have fewer than who comes, or as many as before. */
  #takeFromGreatest(own: number): boolean {
    const addresses = [...this.#byAddress];
    const greatest = addresses.reduce((left, right) => (right[1].size > left[1].size ? right : left));
    const latest = [...greatest[1]].at(-1);
    if (greatest[1].size - 1 <= own || latest === undefined) return false;
    latest.end();
    this.leave(greatest[0], latest);
    return true;
  }
}
