import { chmod, mkdir, stat } from 'node:fs/promises';
import process from 'node:process';
import { isSharedMode } from './read-bounded-file.ts';
import { PRIVATE_DIRECTORY_MODE } from './write-file-atomically.ts';

/**
 * Makes the directory where it is missing, and private (0700) where it is ours. Returns why it is not private: others own it, or
 * its file system keeps no modes. Never throws.
 */
export async function makePrivate(directory: string): Promise<string | undefined> {
  try {
    await mkdir(directory, { recursive: true, mode: PRIVATE_DIRECTORY_MODE });
    const { uid, mode } = await stat(directory);
    const ownUid = process.getuid?.() ?? uid;
    if (uid !== ownUid) {
      return `${directory}: belongs to user ${uid}, and this program is user ${ownUid}; name a directory within it, which is then made`;
    }
    if (!isSharedMode(mode)) return undefined;
    await chmod(directory, PRIVATE_DIRECTORY_MODE);
    const made = (await stat(directory)).mode & 0o777;
    return isSharedMode(made)
      ? `${directory}: mode ${made.toString(8)} lets others in, and cannot be changed`
      : undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
