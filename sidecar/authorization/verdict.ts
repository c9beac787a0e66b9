import type { FlatHeaders } from '#policy/http/flat-headers.ts';
import type { HeaderChange } from './header-changes.ts';
import type { QueryChanges } from './query-changes.ts';

/** What a provider wants of a request that it allows. */
export interface RequestChanges {
  readonly headers: readonly HeaderChange[];
  /** Lower case; they go after `headers` were set. */
  readonly removed: readonly string[];
  readonly query: QueryChanges | undefined;
  /** Of the response, as the caller gets it. */
  readonly toCaller: readonly HeaderChange[];
}

/** What the caller of a refused request is told, by the provider's own word. */
export interface ToldAnswer {
  readonly status: number;
  readonly headers: FlatHeaders;
  readonly body: Buffer;
}

/** What a provider says of a request. `status`: its own, for the operator. */
export type Verdict =
  | { readonly kind: 'allowed'; readonly status: string; readonly changes: RequestChanges | undefined }
  | { readonly kind: 'denied'; readonly status: string; readonly answer: ToldAnswer }
  /** It says nothing: it is away, too slow, or what it says cannot be understood. */
  | { readonly kind: 'failed'; readonly reason: string };

/** An answer that is none. `message` names the rule that it breaks, and nothing of what it says. */
export class MalformedAnswer extends Error {}
