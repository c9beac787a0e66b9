import { ConnectionCrowd, type Guest } from './connection-crowd.ts';

/**
 * Connections by the identity that they have proven, so many each. Where an identity has all it may, that of its addresses which
 * has most loses one to an address that has fewer: its pods do not keep each other out.
 */
export class IdentityCrowds {
  readonly #limit: number;
  readonly #crowds = new Map<string, ConnectionCrowd>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** False: there is no place. */
  enter(identity: string, address: string, guest: Guest): boolean {
    const limit = this.#limit;
    const crowd =
      this.#crowds.get(identity) ?? new ConnectionCrowd({ total: limit, ofAddress: limit, whenFull: 'most' });
    if (crowd.enter(address, guest) !== 'entered') return false;
    this.#crowds.set(identity, crowd);
    return true;
  }

  /** What is not there changes nothing. */
  leave(identity: string, address: string, guest: Guest): void {
    const crowd = this.#crowds.get(identity);
    crowd?.leave(address, guest);
    if (crowd?.isEmpty === true) this.#crowds.delete(identity);
  }
}
