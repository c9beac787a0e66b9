import type { AuthorityMaterial, FormerAuthority, IssuingMaterial } from '../../authority/authority-material.ts';
import { formerAfter, isSameIssuing } from '../../authority/former-authority.ts';
import { formerAuthoritiesFromText, formerAuthoritiesToText } from '../../authority/former-authority-text.ts';
import type { EventLog } from '../../event-log.ts';
import { ApiError, isUnavailable } from '../client/api-error.ts';
import type { KubernetesSecret, StoredSecret } from './secret.ts';

/** The Secret, of our own, that keeps what other Secrets no longer have. */
export const FORMER_AUTHORITIES_SECRET = 'lateral-former-authorities';
const KEY = 'former-authorities.json';
/** Another replica that was first is read anew this often. */
const MAX_ATTEMPTS = 5;

export interface FormerAuthoritiesOptions {
  readonly secret: KubernetesSecret;
  readonly leafLifetimeMs: number;
  readonly log: EventLog;
  readonly now: () => number;
}

/** The authorities that others took the place of, so that all replicas, and those that start anew, go on with the same. */
export class FormerAuthorities {
  readonly #options: FormerAuthoritiesOptions;
  /** Of the Secret that was read last; undefined: there was none. */
  #uid: string | undefined;

  constructor(options: FormerAuthoritiesOptions) {
    this.#options = options;
  }

  /** What is stored; `known` where nothing can be. Throws where nothing is known and the API server is away. */
  async read(known: readonly FormerAuthority[] | undefined): Promise<readonly FormerAuthority[]> {
    try {
      return await this.#store(known ?? [], (former) => former);
    } catch (error) {
      if (known === undefined && isUnavailable(error)) throw error;
      this.#tell(error);
      return known ?? [];
    }
  }

  /**
   * Stores that `after` has come in the place of `before`. Where nothing can be stored this replica alone keeps it; throws
   * where that may yet be.
   */
  async replaced(before: AuthorityMaterial, after: IssuingMaterial): Promise<readonly FormerAuthority[]> {
    const { leafLifetimeMs, log, now } = this.#options;
    let isFirst = false;
    const change = (former: readonly FormerAuthority[]) => {
      isFirst = !former.some((one) => isSameIssuing(one, before)); // of the replicas
      return isFirst ? formerAfter(former, before, after, now(), leafLifetimeMs) : former;
    };
    try {
      const former = await this.#store(before.former, change);
      const kept = former.find((one) => isSameIssuing(one, before));
      if (isFirst && kept !== undefined) {
        log('former_authority_kept', {
          signsUntil: new Date(kept.signsUntilMs).toISOString(),
          trustedUntil: new Date(kept.trustedUntilMs).toISOString(),
        });
      }
      return former;
    } catch (error) {
      if (isUnavailable(error)) throw error;
      this.#tell(error);
      return change(before.former);
    }
  }

  /** Takes out what has ended, and the keys of those that sign no more. */
  async prune(): Promise<void> {
    try {
      const stored = await this.#options.secret.read();
      if (stored === undefined) return;
      await this.#write(stored, this.#formerIn(stored)); // a conflict: another time
    } catch (error) {
      this.#tell(error);
    }
  }

  /** Changes what is stored. A Secret that is not there has what is `known`, and so has one made anew: nobody has emptied it. */
  async #store(
    known: readonly FormerAuthority[],
    change: (former: readonly FormerAuthority[]) => readonly FormerAuthority[],
  ): Promise<readonly FormerAuthority[]> {
    const { secret } = this.#options;
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
      const stored = await secret.read();
      if (stored === undefined) {
        this.#uid = undefined;
        const wanted = change(known);
        if (wanted.length > 0) this.#tell('it does not exist');
        return wanted;
      }
      const isMadeAnew = this.#uid !== stored.uid && textIn(stored) === '';
      const former = isMadeAnew ? known : this.#formerIn(stored);
      const wanted = change(former);
      const isWritten = (wanted === former && !isMadeAnew) || (await this.#write(stored, wanted)) === 'written';
      if (!isWritten) continue;
      this.#uid = stored.uid;
      return wanted;
    }
    throw new ApiError(undefined, 'Conflict', `others wrote ${secret.name} ${MAX_ATTEMPTS} times meanwhile`);
  }

  async #write(stored: StoredSecret, former: readonly FormerAuthority[]): Promise<'written' | 'conflict'> {
    const { secret, now } = this.#options;
    const text = former.length === 0 ? '' : formerAuthoritiesToText(former, now());
    if (text === textIn(stored)) return 'written';
    const { [KEY]: _, ...others } = stored.data;
    return secret.write(text === '' ? others : { ...others, [KEY]: Buffer.from(text) }, stored.resourceVersion);
  }

  #formerIn(stored: StoredSecret): readonly FormerAuthority[] {
    const { leafLifetimeMs, now } = this.#options;
    const text = textIn(stored);
    return text === '' ? [] : formerAuthoritiesFromText(text, now(), leafLifetimeMs);
  }

  #tell(error: unknown): void {
    const { secret, log } = this.#options;
    log('former_authorities_not_stored', { secret: secret.name, error: String(error) });
  }
}

function textIn({ data }: StoredSecret): string {
  return data[KEY]?.toString('utf8') ?? '';
}
