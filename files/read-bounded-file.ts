import { open } from 'node:fs/promises';

export interface BoundedFile {
  readonly text: string;
  /** Permission bits, e.g. 0o600. */
  readonly mode: number;
}

/** Reads a small file; undefined when it does not exist. Throws when it is larger than `maxBytes`. */
export async function readBoundedFile(path: string, maxBytes: number): Promise<BoundedFile | undefined> {
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    handle = await open(path, 'r');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  try {
    const { size, mode } = await handle.stat();
    if (size > maxBytes) throw new Error(`${path}: ${size} bytes exceed the limit of ${maxBytes}`);
    return { text: await handle.readFile('utf8'), mode: mode & 0o777 };
  } finally {
    await handle.close();
  }
}

/** True for the system's "no such file or directory". */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

/** True when others than the owner may read or write. */
export function isSharedMode(mode: number): boolean {
  return (mode & 0o077) !== 0;
}
