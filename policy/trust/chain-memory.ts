import { type Certificate, readCertificate } from '../x509/read-certificate.ts';
import { setBounded } from './set-bounded.ts';

/** Issuers of leaves whose chain is remembered: those of a mesh and its partners are a few, and a rotation adds one. */
export const MAX_KNOWN_CHAINS = 256;

/** What stood above the leaves of each issuer, last time that a chain was good. */
export class ChainMemory {
  /** Without the leaf; by the issuer that the leaf names. The one that was good last stands last. */
  readonly #above = new Map<string, readonly Buffer[]>();

  /** `above`: the issuers of the leaf that its path went by. They are kept, not copied. */
  remember(leaf: Certificate, above: readonly Buffer[]): void {
    if (above.length === 0) return;
    setBounded(this.#above, issuerOf(leaf), above, MAX_KNOWN_CHAINS);
  }

  /** The leaf below what is remembered of its issuer; the very chain that was given where nothing is. */
  complete(chain: readonly Buffer[]): readonly Buffer[] {
    const [leaf] = chain;
    const above = leaf === undefined ? undefined : this.#above.get(issuerOf(readCertificate(leaf)));
    return leaf === undefined || above === undefined ? chain : [leaf, ...above];
  }
}

/** Name and key: the name may be that of its predecessor. */
function issuerOf({ issuer, extensions }: Certificate): string {
  return `${issuer.toString('latin1')} ${extensions.authorityKeyIdentifier?.toString('latin1') ?? ''}`;
}
