import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { isSharedMode, readBoundedFile } from '#files/read-bounded-file.ts';
import { watchPath } from '#files/watch-path.ts';
import { writeFileAtomically } from '#files/write-file-atomically.ts';
import { isRecord } from '#policy/schema/schema.ts';
import { authorityDirectory } from './authority-directory.ts';
import type { AuthorityBackend, StateStore, StoredTexts } from './state-store.ts';

/** Beside the files of the authority. */
export const STATE_FILE = 'authority-state.json';
/** Former authorities and revocations at their most are smaller. */
const MAX_STATE_BYTES = 4 * 1024 * 1024;

/** An authority in a directory, watched: a set that is put there in its place is in force once it is complete and valid. */
export function directoryBackend(directory: string): AuthorityBackend {
  return {
    name: directory,
    authority: authorityDirectory(directory),
    state: stateFile(join(directory, STATE_FILE)),
    isMadeAnew: false,
    watch(onChange, signal) {
      const stop = watchPath(directory, onChange);
      signal.addEventListener('abort', stop, { once: true });
    },
    isAway: () => false,
  };
}

/** One JSON file of mode 0600, for it holds keys; a member for each text. Written by this control plane alone. */
export function stateFile(path: string): StateStore {
  const read = async (): Promise<StoredTexts> => {
    const file = await readBoundedFile(path, MAX_STATE_BYTES);
    const text = file?.text ?? '';
    if (file !== undefined && isSharedMode(file.mode)) {
      throw new Error(`${path}: mode ${file.mode.toString(8)} lets others read the keys in it; run chmod 600 ${path}`);
    }
    const version = createHash('sha256').update(text).digest('hex');
    return { texts: textsIn(path, text), version, uid: path, isMissing: file === undefined };
  };
  return {
    name: path,
    read,
    async write(texts, version) {
      if ((await read()).version !== version) return 'conflict';
      const members = Object.entries(texts).map(([name, text]): [string, unknown] => [name, JSON.parse(text)]);
      await writeFileAtomically(path, `${JSON.stringify(Object.fromEntries(members), null, 2)}\n`);
      return 'written';
    },
  };
}

function textsIn(path: string, text: string): StoredTexts['texts'] {
  if (text.trim() === '') return {};
  let members: unknown;
  try {
    members = JSON.parse(text);
  } catch (error) {
    throw new Error(`${path}: cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (!isRecord(members)) throw new Error(`${path}: is not the state of an authority`);
  return Object.fromEntries(Object.entries(members).map(([name, value]) => [name, JSON.stringify(value)]));
}
