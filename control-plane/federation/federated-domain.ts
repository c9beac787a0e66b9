import { readSpiffeBundle, type SpiffeBundle } from '#policy/trust/spiffe-bundle.ts';
import { digestOf, type RememberedBundle } from './federation-state.ts';

/** The bundle of one other trust domain: what is in force, and what may take its place. Its methods throw in one sentence, and change nothing then. */
export class FederatedDomain {
  readonly trustDomain: string;
  #bundle: SpiffeBundle | undefined;
  #configuredDigest = '';
  #fetchedAtMs: number | undefined;

  constructor(trustDomain: string) {
    this.trustDomain = trustDomain;
  }

  /** DER; empty: nobody of that domain is believed. */
  get roots(): readonly Buffer[] {
    return this.#bundle?.roots ?? [];
  }

  get sequence(): bigint | undefined {
    return this.#bundle?.sequence;
  }

  get refreshHintS(): number | undefined {
    return this.#bundle?.refreshHintS;
  }

  /** When its endpoint last gave a bundle that was taken; undefined: never. */
  get fetchedAtMs(): number | undefined {
    return this.#fetchedAtMs;
  }

  /** For the memory; undefined: there is none. */
  get remembered(): RememberedBundle | undefined {
    if (this.#bundle === undefined) return undefined;
    return { ...this.#bundle, configuredDigest: this.#configuredDigest, fetchedAtMs: this.#fetchedAtMs };
  }

  /**
   * Takes what the operator gave: it counts as the newest until the endpoint is asked again (SPIFFE Federation §4.2), and its sequence
   * number takes the place of the one before. The same text again changes nothing. True: the roots are others now.
   */
  configure(text: string): boolean {
    const digest = digestOf(text);
    if (digest === this.#configuredDigest) return false;
    const bundle = readSpiffeBundle(text);
    this.#configuredDigest = digest;
    this.#fetchedAtMs = undefined;
    return this.#take(bundle);
  }

  /** Goes on with what was in force before a restart, unless the operator has given another since. `isUnreadable`: what he gave is. */
  recall(remembered: RememberedBundle, isUnreadable: boolean): void {
    if (!isUnreadable && remembered.configuredDigest !== this.#configuredDigest) return;
    this.#configuredDigest = remembered.configuredDigest;
    this.#fetchedAtMs = remembered.fetchedAtMs;
    this.#bundle = remembered;
  }

  /**
   * Takes what the endpoint serves. An older one than the one in force is refused (SPIFFE Federation §4.2), and one that does not say
   * how old it is where the one in force does: it may be of any age. True: the roots are others now.
   */
  refresh(text: string, nowMs: number): boolean {
    const bundle = readSpiffeBundle(text);
    const { sequence: known } = this;
    if (known === undefined || (bundle.sequence !== undefined && bundle.sequence >= known)) {
      this.#fetchedAtMs = nowMs;
      return this.#take(bundle);
    }
    if (isSame(bundle.roots, this.roots)) {
      this.#fetchedAtMs = nowMs; // by another replica of theirs, which counts for itself
      return false;
    }
    const what =
      bundle.sequence === undefined
        ? `it leaves out its sequence number, which was ${known},`
        : `its sequence number went back from ${known} to ${bundle.sequence},`;
    throw new Error(`${what} and its roots are others; they are not taken`);
  }

  #take(bundle: SpiffeBundle): boolean {
    const isOther = !isSame(bundle.roots, this.roots);
    this.#bundle = bundle;
    return isOther;
  }
}

function isSame(one: readonly Buffer[], other: readonly Buffer[]): boolean {
  return one.length === other.length && one.every((root) => other.some((candidate) => candidate.equals(root)));
}
