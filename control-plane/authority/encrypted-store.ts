import type { EventLog } from '../event-log.ts';
import { AUTHORITY_FILE, type AuthorityStore, type StoredAuthority } from './authority-store.ts';
import { isWrapped, type KeyWrapping } from './key-wrapping.ts';

const KEY_FILES = ['rootKey', 'issuingKey'] as const;
/** Another control plane that was first is read anew this often. */
const MAX_ATTEMPTS = 5;

/**
 * The authority of a store whose private keys are encrypted there. Keys of our making that are found plain, or encrypted by a former
 * key, are encrypted in their place; a plugged-in key is somebody else's and stays as it is. Without a `wrapping` encrypted keys
 * are refused: a start must not make new ones in their place.
 */
export function encryptedStore(
  store: AuthorityStore,
  wrapping: KeyWrapping | undefined,
  log: EventLog,
): AuthorityStore {
  let isToldOfPlain = false;

  async function opened(file: (typeof KEY_FILES)[number], text: string | undefined): Promise<string | undefined> {
    if (text === undefined || !isWrapped(text)) return text;
    const place = store.place(AUTHORITY_FILE[file]);
    if (wrapping === undefined) {
      throw new Error(`${place}: is encrypted; name the key it was encrypted by in authority.keyEncryption`);
    }
    try {
      return await wrapping.unwrap(text, AUTHORITY_FILE[file]);
    } catch (error) {
      throw new Error(`${place}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  async function closed(files: Partial<StoredAuthority>): Promise<Partial<StoredAuthority>> {
    if (wrapping === undefined) return files;
    const wrapped: { [file in (typeof KEY_FILES)[number]]?: string } = {};
    for (const file of KEY_FILES) {
      const text = files[file];
      if (text !== undefined) wrapped[file] = await wrapping.wrap(text, AUTHORITY_FILE[file]);
    }
    return { ...files, ...wrapped };
  }

  /** Keys of our making that are to be encrypted (anew); undefined: none. */
  function stale(found: StoredAuthority): readonly (typeof KEY_FILES)[number][] {
    if (wrapping === undefined) return [];
    const files = KEY_FILES.filter((file) => found[file] !== undefined && !wrapping.isCurrent(found[file]));
    if (files.length === 0 || found.rootKey !== undefined) return files;
    if (!isToldOfPlain && !isWrapped(found.issuingKey ?? '')) {
      const reason = 'it is plugged in: who supplies it keeps it. Only keys of our making are encrypted';
      log('authority_key_not_encrypted', { file: store.place(AUTHORITY_FILE.issuingKey), reason });
    }
    isToldOfPlain = true;
    return [];
  }

  return {
    async read() {
      for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
        const found = await store.read();
        const rootKey = await opened('rootKey', found.rootKey);
        const issuingKey = await opened('issuingKey', found.issuingKey);
        const files = stale(found);
        if (files.length === 0) return { ...found, rootKey, issuingKey };
        const plain = {
          ...(rootKey === undefined ? {} : { rootKey }),
          ...(issuingKey === undefined ? {} : { issuingKey }),
        };
        // Each file is replaced as a whole: a start that is cut off leaves plain or encrypted keys, and the next goes on.
        if ((await store.write(await closed(plain))) === 'written') {
          log('authority_keys_encrypted', { files: files.map((file) => store.place(AUTHORITY_FILE[file])) });
        }
      }
      throw new Error(`${store.place(AUTHORITY_FILE.rootKey)}: others wrote it ${MAX_ATTEMPTS} times meanwhile`);
    },
    write: async (files) => store.write(await closed(files)),
    place: (file) => store.place(file),
  };
}
