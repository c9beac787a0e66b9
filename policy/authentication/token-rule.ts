import type { KeySet } from './key-set.ts';
import type { TokenPlace } from './token-place.ts';

/** Where the keys of an issuer come from; sources of one `key` are the same. */
export type KeySource = { readonly kind: 'inline'; readonly key: string; readonly keys: KeySet } | RemoteKeySource;

/** `discovery`: `url` is that of the issuer's OpenID configuration, which names the URL of the keys. */
export interface RemoteKeySource {
  readonly kind: 'uri' | 'discovery';
  readonly key: string;
  readonly url: string;
  /** For the whole answer. */
  readonly timeoutMs: number;
}

/** One entry of `jwtRules`: whose tokens are accepted, and what becomes of them. */
export interface TokenRule {
  /** NAMESPACE/NAME, and the place in `jwtRules`. */
  readonly policy: string;
  readonly index: number;
  readonly issuer: string;
  /** As they stand in the policy, for reasons. */
  readonly audiences: readonly string[];
  /** `sanitizedAudience` of them; undefined: all. */
  readonly accepted: ReadonlySet<string> | undefined;
  readonly source: KeySource;
  readonly places: readonly TokenPlace[];
  /** The app gets the token too. */
  readonly isForwarded: boolean;
  readonly payloadHeader: string | undefined;
  readonly claimHeaders: readonly { readonly header: string; readonly claim: string }[];
}
