import { status } from '@grpc/grpc-js';
import { CallRefusal } from '../grpc/refuse-call.ts';
import { addressOfPeer } from '../listener/plain-address.ts';

/** Subscriptions that one control plane serves at a time. */
export const MAX_SUBSCRIPTIONS = 10_000;
/** Of one identity: a service account that somebody got hold of leaves as many for all others. */
export const MAX_SUBSCRIPTIONS_OF_IDENTITY = 5_000;
/** Of one identity, streams that have no workload yet: each is there for the moment until its Hello is understood. */
export const MAX_UNNAMED_OF_IDENTITY = 512;
/** A place changes hands once in this time: two sidecars of one name do not take it from each other all day. */
export const MIN_REPLACEMENT_INTERVAL_MS = 10_000;

/** What was refused or ended so far, and by which bound. */
export interface PlaceCounts {
  /** Streams that ended since a newer one of the same workload came. */
  replaced: number;
  /** Streams refused, by the bound that they met. */
  readonly refused: { total: number; identity: number; unnamed: number; workload: number };
}

export function createPlaceCounts(): PlaceCounts {
  return { replaced: 0, refused: { total: 0, identity: 0, unnamed: 0, workload: 0 } };
}

/** One stream's place. */
export interface Place {
  /** Makes it the place of a known workload of the identity; a stream that had it is ended by its `end`. Throws CallRefusal. */
  take(claim: Claim): void;
  /** Makes it a place among those of the identity, by a name that nobody but the caller vouches for. */
  share(): void;
  leave(): void;
}

export interface Claim {
  /** NAMESPACE/NAME. */
  readonly workload: string;
  /** `ADDRESS:PORT`. */
  readonly peer: string;
  /** Where the workload is known to be; none: that is not known yet. */
  readonly addresses: readonly string[];
  /** Ends the stream: another has its place. */
  readonly end: (refusal: CallRefusal) => void;
}

interface Crowd {
  streams: number;
  unnamed: number;
}

interface Holder {
  readonly place: object;
  readonly claim: Claim;
  /** When it took the place from another; undefined: it was free. */
  readonly tookAtMs: number | undefined;
}

/**
 * Who may hold a stream: one a known workload, so many an identity, so many in all. Of two streams of one workload the newer
 * stays, since the older is mostly one whose end was not heard of. Where a workload's addresses are known, a stream from there
 * is never ended for one from elsewhere: the certificate proves the identity, which its other pods have too. Outside of Kubernetes a
 * name is what its owner calls it, perhaps on many machines alike: there it takes no place from anybody.
 */
export class SubscriptionPlaces {
  readonly #counts: PlaceCounts;
  readonly #now: () => number;
  readonly #crowds = new Map<string, Crowd>();
  readonly #holders = new Map<string, Holder>();
  #streams = 0;

  constructor(counts: PlaceCounts, now: () => number) {
    this.#counts = counts;
    this.#now = now;
  }

  /** A place for a stream that has not said which workload it is of. Throws CallRefusal. */
  open(identity: string): Place {
    const crowd = this.#crowds.get(identity) ?? { streams: 0, unnamed: 0 };
    if (this.#streams >= MAX_SUBSCRIPTIONS) {
      throw this.#refused('total', `${MAX_SUBSCRIPTIONS} subscriptions are served already`);
    }
    if (crowd.streams >= MAX_SUBSCRIPTIONS_OF_IDENTITY) {
      const reason = `${MAX_SUBSCRIPTIONS_OF_IDENTITY} subscriptions of ${identity} are served already; other identities are not concerned`;
      throw this.#refused('identity', reason);
    }
    if (crowd.unnamed >= MAX_UNNAMED_OF_IDENTITY) {
      const reason = `${MAX_UNNAMED_OF_IDENTITY} streams of ${identity} have yet to say which workload they are of`;
      throw this.#refused('unnamed', reason);
    }
    this.#crowds.set(identity, crowd);
    this.#streams += 1;
    crowd.streams += 1;
    crowd.unnamed += 1;
    return this.#place(identity, crowd);
  }

  #place(identity: string, crowd: Crowd): Place {
    let key: string | undefined;
    let [isNamed, hasLeft] = [false, false];
    const share = () => {
      if (isNamed || hasLeft) return;
      isNamed = true;
      crowd.unnamed -= 1;
    };
    const place: Place = {
      share,
      take: (claim) => {
        if (hasLeft || isNamed) return;
        const wanted = `${identity} ${claim.workload}`;
        const holder = this.#holders.get(wanted);
        const tookAtMs = holder === undefined ? undefined : this.#now();
        if (holder !== undefined) this.#requireRight(claim, holder);
        this.#holders.set(wanted, { place, claim, tookAtMs });
        key = wanted;
        share();
        if (holder === undefined) return;
        this.#counts.replaced += 1;
        const reason = `a newer stream of ${claim.workload}, from ${claim.peer}, has its place: two sidecars of one name?`;
        holder.claim.end(new CallRefusal(status.ALREADY_EXISTS, reason));
      },
      leave: () => {
        if (hasLeft) return;
        hasLeft = true;
        this.#streams -= 1;
        crowd.streams -= 1;
        if (!isNamed) crowd.unnamed -= 1;
        if (key !== undefined && this.#holders.get(key)?.place === place) this.#holders.delete(key);
        if (crowd.streams === 0) this.#crowds.delete(identity);
      },
    };
    return place;
  }

  #requireRight(claim: Claim, { claim: held, tookAtMs }: Holder): void {
    const [comesFromHome, holdsFromHome] = [claim.peer, held.peer].map((peer) =>
      claim.addresses.includes(addressOfPeer(peer)),
    );
    if (holdsFromHome === true && comesFromHome === false) {
      const reason = `${claim.workload} has a stream from its own address, ${held.peer}; ${claim.peer} is none of its addresses`;
      throw this.#refused('workload', reason, status.ALREADY_EXISTS);
    }
    if (comesFromHome === true && holdsFromHome === false) return;
    const heldMs = this.#now() - (tookAtMs ?? Number.NEGATIVE_INFINITY);
    if (heldMs >= MIN_REPLACEMENT_INTERVAL_MS) return;
    const reason = `the place of ${claim.workload} went to ${held.peer} ${heldMs} ms ago: two sidecars of one name?`;
    throw this.#refused('workload', reason, status.ALREADY_EXISTS);
  }

  #refused(bound: keyof PlaceCounts['refused'], reason: string, code = status.RESOURCE_EXHAUSTED): CallRefusal {
    this.#counts.refused[bound] += 1;
    return new CallRefusal(code, reason);
  }
}
