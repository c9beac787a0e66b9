import type { EventLog } from '../event-log.ts';
import type { AuthorityStore } from './authority-store.ts';

/** What is stored, and which writing of it this is. */
export interface StoredTexts {
  /** By name. */
  readonly texts: { readonly [name: string]: string };
  readonly version: string;
  /** Another for a store that was made anew under its name. */
  readonly uid: string;
  /** True: there is nothing yet, or it was taken away, and what is known is to be stored again. */
  readonly isMissing?: boolean;
}

/** Where an authority keeps what its files do not tell, beside them: texts, changed all at once. */
export interface StateStore {
  /** For messages. */
  readonly name: string;
  /** Undefined: there is none. */
  read(): Promise<StoredTexts | undefined>;
  /** Replaces all texts; `conflict`: somebody else wrote since `version`. */
  write(texts: StoredTexts['texts'], version: string): Promise<'written' | 'conflict'>;
}

/** An authority's files, and its state. */
export interface AuthorityBackend {
  /** For messages. */
  readonly name: string;
  readonly authority: AuthorityStore;
  readonly state: StateStore;
  /** True: files that go while the authority is in use are made anew, as by a Secret that is emptied. */
  readonly isMadeAnew: boolean;
  /** Calls back after each change of either, perhaps also without one; ends with the signal. */
  watch(onChange: () => void, signal: AbortSignal, log: EventLog): void;
  /** True for the error of a store that may be back in a moment. */
  isAway(error: unknown): boolean;
}
