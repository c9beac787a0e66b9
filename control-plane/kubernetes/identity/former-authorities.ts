import type { AuthorityMaterial, FormerAuthority, IssuingMaterial } from '../../authority/authority-material.ts';
import {
  formerAuthoritiesFromText,
  formerAuthoritiesToText,
  formerAuthorityOf,
  isSameIssuing,
} from '../../authority/former-authority.ts';
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

  constructor(options: FormerAuthoritiesOptions) {
    this.#options = options;
  }

  /** What is stored; `known` where nothing can be. Throws where nothing is known and the API server is away. */
  async read(known: readonly FormerAuthority[] | undefined): Promise<readonly FormerAuthority[]> {
    const { secret, now } = this.#options;
    try {
      const stored = await secret.read();
      return stored === undefined ? (known ?? []) : formerIn(stored, now());
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
    const { secret, leafLifetimeMs, log, now } = this.#options;
    const entry = formerAuthorityOf(before, after, now(), leafLifetimeMs);
    if (entry === undefined) return this.read(before.former);
    const added = (former: readonly FormerAuthority[]) => [
      ...former.filter((one) => !isSameIssuing(one, entry) && !isSameIssuing(one, after)),
      entry,
    ];
    try {
      for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
        const stored = await secret.read();
        if (stored === undefined) throw new Error('it does not exist');
        const former = formerIn(stored, now());
        if (former.some((one) => isSameIssuing(one, entry))) return former; // another replica was first
        const wanted = added(former);
        const data = { ...stored.data, [KEY]: Buffer.from(formerAuthoritiesToText(wanted)) };
        if ((await secret.write(data, stored.resourceVersion)) === 'conflict') continue;
        log('former_authority_kept', {
          signsUntil: new Date(entry.signsUntilMs).toISOString(),
          trustedUntil: new Date(entry.trustedUntilMs).toISOString(),
        });
        return wanted;
      }
      throw new ApiError(undefined, 'Conflict', `others wrote ${secret.name} ${MAX_ATTEMPTS} times meanwhile`);
    } catch (error) {
      if (isUnavailable(error)) throw error;
      this.#tell(error);
      return added(before.former);
    }
  }

  /** Takes out what has ended, and with it its key. */
  async prune(): Promise<void> {
    const { secret, now } = this.#options;
    try {
      const stored = await secret.read();
      const text = stored?.data[KEY]?.toString('utf8') ?? '';
      if (stored === undefined || text === '') return;
      const former = formerIn(stored, now());
      const { [KEY]: _, ...others } = stored.data;
      const left = former.length === 0 ? {} : { [KEY]: Buffer.from(formerAuthoritiesToText(former)) };
      if (left[KEY]?.toString('utf8') === text) return;
      await secret.write({ ...others, ...left }, stored.resourceVersion); // a conflict: another time
    } catch (error) {
      this.#tell(error);
    }
  }

  #tell(error: unknown): void {
    const { secret, log } = this.#options;
    log('former_authorities_not_stored', { secret: secret.name, error: String(error) });
  }
}

function formerIn({ data }: StoredSecret, nowMs: number): readonly FormerAuthority[] {
  const text = data[KEY]?.toString('utf8') ?? '';
  return text === '' ? [] : formerAuthoritiesFromText(text, nowMs);
}
