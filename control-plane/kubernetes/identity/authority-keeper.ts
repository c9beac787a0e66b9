import { setTimeout as wait } from 'node:timers/promises';
import type { Mesh } from '#policy/workload-policy.ts';
import type { AuthorityMaterial } from '../../authority/authority-material.ts';
import { openAuthority } from '../../authority/authority-store.ts';
import { isSameIssuing } from '../../authority/former-authority.ts';
import type { EventLog } from '../../event-log.ts';
import { isUnavailable } from '../client/api-error.ts';
import { type BackoffLimits, createBackoff } from '../watch/backoff.ts';
import { FORMER_AUTHORITIES_SECRET, FormerAuthorities } from './former-authorities.ts';
import type { KubernetesSecret } from './secret.ts';
import { secretAuthority } from './secret-authority.ts';

/** The leader looks this often whether the issuing authority is to be renewed, and a former one to be forgotten. */
const CHECK_INTERVAL_MS = 3_600_000;
const BACKOFF: BackoffLimits = { firstMs: 500, longestMs: 10_000 };

export interface AuthorityKeeperOptions {
  /** Of the authority. */
  readonly name: string;
  readonly secret: (name: string) => KubernetesSecret;
  readonly mesh: Mesh;
  readonly leafLifetimeMs: number;
  readonly isLeader: () => boolean;
  readonly log: EventLog;
  /** Ends whatever waits for the API server. */
  readonly signal: AbortSignal;
}

/** The authority in a Secret, and those that it took the place of. */
export class AuthorityKeeper {
  readonly #options: AuthorityKeeperOptions;
  readonly #former: FormerAuthorities;
  readonly #ending = new AbortController();
  /** What is in force: what was opened first, then what was told of. */
  #known: AuthorityMaterial | undefined;

  constructor(options: AuthorityKeeperOptions) {
    const { secret, leafLifetimeMs, log } = options;
    this.#options = options;
    const store = secret(FORMER_AUTHORITIES_SECRET);
    this.#former = new FormerAuthorities({ secret: store, leafLifetimeMs, log, now: Date.now });
  }

  /** Waits for the API server, however long. */
  async open(): Promise<AuthorityMaterial> {
    this.#known ??= await this.#read(this.#options.signal);
    return this.#known;
  }

  /**
   * Calls back with the authority each time that it is another than before, the first time than what `open` gave: between the
   * two the Secret may have changed. The leader renews an issuer whose end is near.
   */
  keep(onChange: (material: AuthorityMaterial) => void): void {
    const { name, secret, isLeader, log } = this.#options;
    const signal = AbortSignal.any([this.#ending.signal, this.#options.signal]);
    let reading = Promise.resolve();
    const reread = async (): Promise<void> => {
      try {
        const material = await this.#read(signal);
        if (signal.aborted || (this.#known !== undefined && isSame(this.#known, material))) return;
        this.#known = material;
        onChange(material);
      } catch (error) {
        // What was in force stays so: certificates of a broken authority would be refused by all.
        if (!signal.aborted) log('authority_unreadable', { secret: name, error: String(error) });
      }
    };
    // One after the other, so that an earlier state never comes last; one more at most waits, and reads what is there then.
    let isWaiting = false;
    const due = () => {
      if (isWaiting) return;
      isWaiting = true;
      reading = reading.then(() => {
        isWaiting = false;
        return reread();
      });
    };
    for (const watched of [name, FORMER_AUTHORITIES_SECRET]) {
      let version = '';
      const onSecret = ({ resourceVersion }: { readonly resourceVersion: string }) => {
        if (version === resourceVersion) return;
        version = resourceVersion;
        due();
      };
      void secret(watched).watch(onSecret, signal, log);
    }
    const timer = setInterval(() => {
      if (!isLeader()) return;
      due();
      void this.#former.prune();
    }, CHECK_INTERVAL_MS);
    timer.unref();
    signal.addEventListener('abort', () => clearInterval(timer), { once: true });
  }

  close(): void {
    this.#ending.abort();
  }

  async #read(signal: AbortSignal): Promise<AuthorityMaterial> {
    const { name, secret, mesh, log } = this.#options;
    const store = secretAuthority(secret(name));
    const backoff = createBackoff(BACKOFF);
    let hasFailed = false;
    for (;;) {
      try {
        const material = await openAuthority(store, mesh, Date.now());
        const known = this.#known;
        const isReplaced = known !== undefined && !isSameIssuing(known, material);
        const former = isReplaced
          ? await this.#former.replaced(known, material)
          : await this.#former.read(known?.former);
        return { ...material, former };
      } catch (error) {
        if (!isUnavailable(error) || signal.aborted) throw error;
        if (!hasFailed) log('waiting_for_kubernetes', { missing: [`secret ${name}`], error: String(error) });
        hasFailed = true;
        await wait(backoff.next(), undefined, { signal }).catch(() => {});
      }
    }
  }
}

/** The key is that of the issuer's certificate: that was checked when they were read. */
function isSame(one: AuthorityMaterial, other: AuthorityMaterial): boolean {
  if (!isSameIssuing(one, other) || one.former.length !== other.former.length) return false;
  return one.former.every((own, index) => {
    const theirs = other.former[index];
    return theirs !== undefined && isSameIssuing(own, theirs) && own.signsUntilMs === theirs.signsUntilMs;
  });
}
