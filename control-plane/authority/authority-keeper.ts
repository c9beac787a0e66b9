import { setTimeout as wait } from 'node:timers/promises';
import type { Mesh } from '#policy/workload-policy.ts';
import type { EventLog } from '../event-log.ts';
import type { AuthorityMaterial, IssuingMaterial } from './authority-material.ts';
import { type AuthorityState, textsOfState } from './authority-state.ts';
import { openAuthority, type StoredAuthority } from './authority-store.ts';
import { isSameIssuing } from './former-authority.ts';
import { nextRoots, settled } from './rotation.ts';
import { StateKeeper, StateNotStored } from './state-keeper.ts';
import type { AuthorityBackend } from './state-store.ts';

/** The leader looks this often whether the issuing authority is to be renewed, and a former one to be forgotten. */
const CHECK_INTERVAL_MS = 3_600_000;
/** First and longest wait for a store that is away; each is twice the one before. */
const RETRY = { firstMs: 500, longestMs: 10_000 } as const;
/** Longest wait, at the end, for what is being stored. */
const CLOSE_WAIT_MS = 2_000;
/** The files of the next authority are written anew this often where others write them meanwhile. */
const MAX_WRITINGS = 5;

export interface AuthorityKeeperOptions {
  readonly backend: AuthorityBackend;
  readonly mesh: Mesh;
  readonly leafLifetimeMs: number;
  readonly isLeader: () => boolean;
  readonly log: EventLog;
  /** Ends whatever waits for the store. */
  readonly signal: AbortSignal;
  /** Default Date.now. */
  readonly now?: () => number;
}

/** What is in force: keys and certificates, and what is known beside them. */
export interface KeptAuthority {
  readonly material: AuthorityMaterial;
  readonly state: AuthorityState;
}

/** An authority in its store, and those that it took the place of; the same in all replicas. */
export class AuthorityKeeper {
  readonly #options: AuthorityKeeperOptions;
  readonly #states: StateKeeper;
  readonly #ending = new AbortController();
  readonly #now: () => number;
  #known: KeptAuthority | undefined;
  #onChange: ((kept: KeptAuthority) => void) | undefined;
  /** The last of what is read and written, one after the other, so that an earlier state never comes last. */
  #turn: Promise<unknown> = Promise.resolve();
  #isWaiting = false;
  #isChanging = false;
  #lastFailure = '';

  constructor(options: AuthorityKeeperOptions) {
    const { backend, leafLifetimeMs, log, now = Date.now } = options;
    this.#options = options;
    this.#now = now;
    const isAway = (error: unknown) => backend.isAway(error);
    this.#states = new StateKeeper({ store: backend.state, leafLifetimeMs, isAway, log, now });
  }

  /** Waits for a store that is away, however long. Throws with a sentence where it holds what cannot be used. */
  async open(): Promise<KeptAuthority> {
    this.#known ??= await this.#inTurn(() => this.#read(this.#options.signal));
    return this.#known;
  }

  /**
   * Calls back with the authority each time that it is another than before, the first time than what `open` gave: between the
   * two the store may have changed. The leader renews an issuer whose end is near.
   */
  keep(onChange: (kept: KeptAuthority) => void): void {
    const { backend, isLeader, log } = this.#options;
    const signal = this.#signal;
    this.#onChange = onChange;
    backend.watch(() => this.#due(), signal, log);
    const timer = setInterval(() => {
      if (!isLeader()) return;
      this.#due();
      void this.#inTurn(async () => {
        if (!signal.aborted) await this.#states.prune();
      });
    }, CHECK_INTERVAL_MS);
    timer.unref();
    signal.addEventListener('abort', () => clearInterval(timer), { once: true });
  }

  /** Stores another state and puts it in force here; the other replicas see it. Throws where it cannot be stored. */
  async change(change: (state: AuthorityState, material: AuthorityMaterial) => AuthorityState): Promise<KeptAuthority> {
    if (this.#ending.signal.aborted) throw new StateNotStored('the control plane ends');
    return this.#inTurn(async () => {
      const known = this.#known ?? (await this.#read(this.#signal));
      await this.#states.change(known.state, (state) => change(state, known.material));
      this.#isChanging = true;
      try {
        const kept = await this.#read(this.#signal);
        this.#take(kept);
        return kept;
      } finally {
        this.#isChanging = false;
      }
    });
  }

  /** The files as they are stored now. */
  files(): Promise<StoredAuthority> {
    return this.#inTurn(() => this.#options.backend.authority.read());
  }

  /** What was to be stored is stored before this resolves, unless the store is away; nothing is stored after it. */
  async close(): Promise<void> {
    this.#ending.abort();
    await Promise.race([this.#turn, wait(CLOSE_WAIT_MS, undefined, { ref: false })]);
  }

  get #signal(): AbortSignal {
    return AbortSignal.any([this.#ending.signal, this.#options.signal]);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }

  /** One reading more at most waits, and reads what is there then. */
  #due(): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    const signal = this.#signal;
    void this.#inTurn(async () => {
      this.#isWaiting = false;
      if (signal.aborted) return;
      try {
        const kept = await this.#read(signal);
        if (!signal.aborted) this.#take(kept);
      } catch (error) {
        if (!signal.aborted) this.#tellUnreadable(error);
      }
    });
  }

  #tellUnreadable(error: unknown): void {
    if (this.#lastFailure === String(error)) return;
    this.#lastFailure = String(error);
    this.#options.log('authority_unreadable', { store: this.#options.backend.name, error: this.#lastFailure });
  }

  #take(kept: KeptAuthority): void {
    const known = this.#known;
    if (known !== undefined && isSame(known, kept, this.#now())) return;
    this.#known = kept;
    this.#onChange?.(kept);
  }

  async #read(signal: AbortSignal): Promise<KeptAuthority> {
    const { backend, log } = this.#options;
    let waitMs: number = RETRY.firstMs;
    for (;;) {
      try {
        return await this.#readOnce();
      } catch (error) {
        const mayBeBack = backend.isAway(error) || (error instanceof StateNotStored && error.isConflict);
        if (!mayBeBack || signal.aborted) throw error;
        if (waitMs === RETRY.firstMs) log('waiting_for_authority', { missing: [backend.name], error: String(error) });
        await wait(waitMs, undefined, { signal }).catch(() => {});
        waitMs = Math.min(2 * waitMs, RETRY.longestMs);
      }
    }
  }

  async #readOnce(): Promise<KeptAuthority> {
    const { backend, mesh, isLeader } = this.#options;
    const known = this.#known;
    let state = await this.#states.read(known?.state);
    // Who starts and finds a change of the root half done ends it: of several all write the same.
    const isMine = known === undefined || isLeader() || this.#isChanging;
    if (state.rotation?.stage === 'promoting' && isMine) state = await this.#promote(state);
    const mayMake = { mayMakeRoot: known === undefined || backend.isMadeAnew, mayMakeIssuer: known === undefined };
    let issuing: IssuingMaterial;
    try {
      issuing = await openAuthority(backend.authority, mesh, this.#now(), mayMake);
      this.#lastFailure = '';
    } catch (error) {
      if (known === undefined || backend.isAway(error)) throw error;
      // The keys that were in force stay so: certificates of a broken authority would be refused by all. What is stored beside them counts.
      this.#tellUnreadable(error);
      return { material: materialOf(known.material, state), state };
    }
    const isReplaced = known !== undefined && !isSameIssuing(known.material, issuing);
    if (isReplaced) state = await this.#states.replaced(known.state, known.material, issuing);
    return { material: materialOf(issuing, state), state };
  }

  /** Puts the files of the next authority in the place of the present ones; what is stored says that they are there only then. */
  async #promote(state: AuthorityState): Promise<AuthorityState> {
    const { backend, log } = this.#options;
    const { rotation } = state;
    if (rotation?.stage !== 'promoting') return state;
    for (let writing = 1; ; writing += 1) {
      const found = await backend.authority.read(); // a store that knows conflicts knows this reading
      if (isWritten(found, rotation.next)) break;
      if ((await backend.authority.write(rotation.next)) === 'written') break;
      if (writing === MAX_WRITINGS)
        throw new StateNotStored(`others wrote ${backend.name} ${MAX_WRITINGS} times`, true);
    }
    log('root_signing', { trustedUntil: new Date(rotation.retiresMs).toISOString() });
    return this.#states.change(state, settled);
  }
}

function isWritten(found: StoredAuthority, wanted: StoredAuthority): boolean {
  return (Object.keys(wanted) as (keyof StoredAuthority)[]).every((file) => found[file] === wanted[file]);
}

function materialOf(issuing: IssuingMaterial, state: AuthorityState): AuthorityMaterial {
  return { ...issuing, former: state.former, next: nextRoots(state.rotation) };
}

/** The key is that of the issuer's certificate: that was checked when they were read. */
function isSame(one: KeptAuthority, other: KeptAuthority, nowMs: number): boolean {
  if (!isSameIssuing(one.material, other.material)) return false;
  const [texts, others] = [textsOfState(one.state, nowMs), textsOfState(other.state, nowMs)];
  return Object.keys({ ...texts, ...others }).every((name) => texts[name] === others[name]);
}
