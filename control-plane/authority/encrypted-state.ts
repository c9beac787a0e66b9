import { isRecord } from '#policy/schema/schema.ts';
import type { EventLog } from '../event-log.ts';
import { FORMER_TEXT, STATE_TEXT } from './authority-state.ts';
import { encryptedStore } from './encrypted-store.ts';
import { isWrapped, type KeyWrapping } from './key-wrapping.ts';
import type { AuthorityBackend, StateStore, StoredTexts } from './state-store.ts';

/** Texts that hold private keys: of authorities that were, and of one that is to be. */
const TEXTS: readonly string[] = [FORMER_TEXT, STATE_TEXT];
/** Another control plane that was first is read anew this often. */
const MAX_ATTEMPTS = 5;

/** The backend with its private keys encrypted where they are kept; without a `wrapping`, one that refuses encrypted ones. */
export function encryptedBackend(
  backend: AuthorityBackend,
  wrapping: KeyWrapping | undefined,
  log: EventLog,
): AuthorityBackend {
  return {
    name: backend.name,
    authority: encryptedStore(backend.authority, wrapping, log),
    state: encryptedState(backend.state, wrapping, log),
    isMadeAnew: backend.isMadeAnew,
    watch: (onChange, signal, watchLog) => backend.watch(onChange, signal, watchLog),
    isAway: (error) => backend.isAway(error),
  };
}

/** As `encryptedStore`, for the texts beside the files: each with keys in it becomes `{"encrypted": …}`, whole. */
export function encryptedState(store: StateStore, wrapping: KeyWrapping | undefined, log: EventLog): StateStore {
  async function opened([name, text]: readonly [string, string]): Promise<readonly [string, string]> {
    const wrapped = wrappedIn(text);
    if (wrapped === undefined) return [name, text];
    if (wrapping === undefined) {
      throw new Error(
        `${store.name}: ${name} is encrypted; name the key it was encrypted by in authority.keyEncryption`,
      );
    }
    try {
      return [name, await wrapping.unwrap(wrapped, name)];
    } catch (error) {
      throw new Error(`${store.name}: ${name} ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  async function closed(texts: StoredTexts['texts']): Promise<StoredTexts['texts']> {
    if (wrapping === undefined) return texts;
    const entries = Object.entries(texts).map(async ([name, text]) =>
      TEXTS.includes(name) && text !== ''
        ? [name, JSON.stringify({ encrypted: await wrapping.wrap(text, name) })]
        : [name, text],
    );
    return Object.fromEntries(await Promise.all(entries));
  }

  const isStale = ([name, text]: readonly [string, string]): boolean =>
    wrapping !== undefined && TEXTS.includes(name) && text !== '' && !wrapping.isCurrent(wrappedIn(text) ?? '');

  return {
    name: store.name,
    async read() {
      for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
        const stored = await store.read();
        if (stored === undefined) return undefined;
        const entries = Object.entries(stored.texts);
        const texts = Object.fromEntries(await Promise.all(entries.map(opened)));
        if (!entries.some(isStale)) return { ...stored, texts };
        if ((await store.write(await closed(texts), stored.version)) === 'written') {
          log('authority_keys_encrypted', { files: entries.filter(isStale).map(([name]) => `${store.name}: ${name}`) });
        }
      }
      throw new Error(`${store.name}: others wrote it ${MAX_ATTEMPTS} times meanwhile`);
    },
    write: async (texts, version) => store.write(await closed(texts), version),
  };
}

/** The block in `{"encrypted": …}`; undefined: the text is plain. */
function wrappedIn(text: string): string | undefined {
  if (!text.includes('"encrypted"')) return undefined;
  try {
    const fields: unknown = JSON.parse(text);
    if (!isRecord(fields) || typeof fields.encrypted !== 'string') return undefined;
    return isWrapped(fields.encrypted) ? fields.encrypted : undefined;
  } catch {
    return undefined;
  }
}
