import type { EventLog } from '../event-log.ts';
import type { AuthorityMaterial, IssuingMaterial } from './authority-material.ts';
import {
  type AuthorityState,
  EMPTY_STATE,
  FORMER_TEXT,
  STATE_TEXT,
  stateFromTexts,
  textsOfState,
} from './authority-state.ts';
import { formerAfter, isSameIssuing } from './former-authority.ts';
import type { StateStore, StoredTexts } from './state-store.ts';

/** Another replica that was first is read anew this often. */
const MAX_ATTEMPTS = 5;

export interface StateKeeperOptions {
  readonly store: StateStore;
  readonly leafLifetimeMs: number;
  readonly isAway: (error: unknown) => boolean;
  readonly log: EventLog;
  readonly now: () => number;
}

/** What cannot be stored is not done. */
export class StateNotStored extends Error {
  /** Others were first, again and again: it may go next time. */
  readonly isConflict: boolean;

  constructor(message: string, isConflict = false) {
    super(message);
    this.name = 'StateNotStored';
    this.isConflict = isConflict;
  }
}

/** The state of an authority, so that all replicas, and those that start anew, go on with the same. */
export class StateKeeper {
  readonly #options: StateKeeperOptions;
  /** Of the store that was read last; undefined: there was none. */
  #uid: string | undefined;

  constructor(options: StateKeeperOptions) {
    this.#options = options;
  }

  /** What is stored; `known` where that cannot be read. Throws where nothing is known. */
  async read(known: AuthorityState | undefined): Promise<AuthorityState> {
    try {
      return await this.#store(known ?? EMPTY_STATE, (state) => state, false);
    } catch (error) {
      if (known === undefined) throw error;
      this.#tell(error);
      return known;
    }
  }

  /** Stores a change, or throws; `change` may be asked again with what others have stored meanwhile. */
  async change(known: AuthorityState, change: (state: AuthorityState) => AuthorityState): Promise<AuthorityState> {
    return this.#store(known, change, true);
  }

  /**
   * Stores that `after` has come in the place of `before`. Where nothing can be stored this replica alone keeps it; throws
   * where that may yet be.
   */
  async replaced(known: AuthorityState, before: AuthorityMaterial, after: IssuingMaterial): Promise<AuthorityState> {
    const { leafLifetimeMs, log, now, isAway } = this.#options;
    let isFirst = false;
    const change = (state: AuthorityState): AuthorityState => {
      isFirst = !state.former.some((one) => isSameIssuing(one, before)); // of the replicas
      return isFirst ? { ...state, former: formerAfter(state.former, before, after, now(), leafLifetimeMs) } : state;
    };
    try {
      const state = await this.#store(known, change, false);
      const kept = state.former.find((one) => isSameIssuing(one, before));
      if (isFirst && kept !== undefined) {
        log('former_authority_kept', {
          signsUntil: new Date(kept.signsUntilMs).toISOString(),
          trustedUntil: new Date(kept.trustedUntilMs).toISOString(),
        });
      }
      return state;
    } catch (error) {
      if (isAway(error)) throw error;
      this.#tell(error);
      return change(known);
    }
  }

  /** Takes out what has ended, and the keys of those that sign no more. */
  async prune(): Promise<void> {
    try {
      const stored = await this.#options.store.read();
      if (stored === undefined) return;
      await this.#write(stored, this.#stateIn(stored)); // a conflict: another time
    } catch (error) {
      this.#tell(error);
    }
  }

  /** Changes what is stored. A store that is not there has what is `known`, and so has one made anew: nobody has emptied it. */
  async #store(
    known: AuthorityState,
    change: (state: AuthorityState) => AuthorityState,
    mustBeStored: boolean,
  ): Promise<AuthorityState> {
    const { store } = this.#options;
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
      const stored = await store.read();
      if (stored === undefined) {
        this.#uid = undefined;
        const wanted = change(known);
        if (mustBeStored && wanted !== known) throw new StateNotStored(`${store.name} does not exist`);
        if (wanted !== EMPTY_STATE) this.#tell('it does not exist');
        return wanted;
      }
      const isMadeAnew = stored.isMissing === true || (this.#uid !== stored.uid && isEmpty(stored));
      if (stored.isMissing === true && known !== EMPTY_STATE) this.#tell('it was taken away, and is written again');
      const state = isMadeAnew ? known : this.#stateIn(stored);
      const wanted = change(state);
      const isWritten = (wanted === state && !isMadeAnew) || (await this.#write(stored, wanted)) === 'written';
      if (!isWritten) continue;
      this.#uid = stored.uid;
      return wanted;
    }
    throw new StateNotStored(`others wrote ${store.name} ${MAX_ATTEMPTS} times meanwhile`, true);
  }

  async #write(stored: StoredTexts, state: AuthorityState): Promise<'written' | 'conflict'> {
    const { store, now } = this.#options;
    const wanted = textsOfState(state, now());
    if ([FORMER_TEXT, STATE_TEXT].every((name) => (wanted[name] ?? '') === (stored.texts[name] ?? ''))) {
      return 'written';
    }
    const { [FORMER_TEXT]: _, [STATE_TEXT]: __, ...others } = stored.texts;
    return store.write({ ...others, ...wanted }, stored.version);
  }

  #stateIn({ texts }: StoredTexts): AuthorityState {
    const { store, leafLifetimeMs, now } = this.#options;
    try {
      return stateFromTexts(texts, now(), leafLifetimeMs);
    } catch (error) {
      throw new Error(`${store.name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  #tell(error: unknown): void {
    const { store, log } = this.#options;
    log('authority_state_not_stored', { store: store.name, error: String(error) });
  }
}

function isEmpty({ texts }: StoredTexts): boolean {
  return (texts[FORMER_TEXT] ?? '') === '' && (texts[STATE_TEXT] ?? '') === '';
}
