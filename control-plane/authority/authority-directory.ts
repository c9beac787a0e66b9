import { join } from 'node:path';
import { isSharedMode, readBoundedFile } from '#files/read-bounded-file.ts';
import { writeFileAtomically } from '#files/write-file-atomically.ts';
import type { Mesh } from '#policy/workload-policy.ts';
import type { AuthorityMaterial } from './authority-material.ts';
import { AUTHORITY_FILE, type AuthorityFile, type AuthorityStore, openAuthority } from './authority-store.ts';

const MAX_AUTHORITY_FILE_BYTES = 256 * 1024;
/** A key before its certificate. */
const WRITING_ORDER: readonly AuthorityFile[] = ['rootKey', 'root', 'issuingKey', 'chain', 'issuing'];

/** The authority kept in a directory, as `openAuthority` says, and nothing beside it. Throws also when a key can be read by others. */
export async function openAuthorityDirectory(directory: string, mesh: Mesh, nowMs: number): Promise<AuthorityMaterial> {
  return { ...(await openAuthority(authorityDirectory(directory), mesh, nowMs)), former: [] };
}

/** The files of an authority in a directory. */
export function authorityDirectory(directory: string): AuthorityStore {
  const read = async (file: AuthorityFile) =>
    (await readBoundedFile(join(directory, AUTHORITY_FILE[file]), MAX_AUTHORITY_FILE_BYTES))?.text;
  return {
    read: async () => ({
      root: await read('root'),
      rootKey: await readKeyFile(join(directory, AUTHORITY_FILE.rootKey)),
      issuing: await read('issuing'),
      issuingKey: await readKeyFile(join(directory, AUTHORITY_FILE.issuingKey)),
      chain: await read('chain'),
    }),
    async write(files) {
      for (const file of WRITING_ORDER) {
        const text = files[file];
        if (text !== undefined) await writeFileAtomically(join(directory, AUTHORITY_FILE[file]), text);
      }
      return 'written';
    },
    place: (file) => join(directory, file),
  };
}

async function readKeyFile(path: string): Promise<string | undefined> {
  const file = await readBoundedFile(path, MAX_AUTHORITY_FILE_BYTES);
  if (file === undefined) return undefined;
  if (isSharedMode(file.mode)) {
    throw new Error(`${path}: mode ${file.mode.toString(8)} lets others read the key; run chmod 600 ${path}`);
  }
  return file.text;
}
