import { type FSWatcher, watch } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** The file system's own notice can be missing (network mounts, replaced folders): looked at this often as well. */
const POLL_INTERVAL_MS = 500;
/** Editors write in several steps: a change is told once nothing has moved for this long. */
const SETTLE_MS = 100;
/** Files looked at; more are not noticed by the poll. */
const MAX_WATCHED_FILES = 10_000;

/**
 * Calls `onChange` after anything below `path` (a file or a folder) has changed, also when it is
 * replaced as a whole or by symbolic link (as Kubernetes does with ConfigMaps). One call may stand for
 * many changes. Returns a function that ends it.
 */
export function watchPath(path: string, onChange: () => void): () => void {
  let known: string | undefined;
  let settle: NodeJS.Timeout | undefined;
  let isClosed = false;
  let isLooking = false;

  const look = async () => {
    if (isLooking || isClosed) return;
    isLooking = true;
    const now = await fingerprint(path);
    isLooking = false;
    if (isClosed || now === known) return;
    const isFirst = known === undefined;
    known = now;
    if (isFirst) return;
    clearTimeout(settle);
    settle = setTimeout(onChange, SETTLE_MS);
  };

  const watcher = tryWatch(path, () => void look());
  const poll = setInterval(() => void look(), POLL_INTERVAL_MS);
  poll.unref();
  void look();
  return () => {
    isClosed = true;
    clearInterval(poll);
    clearTimeout(settle);
    watcher?.close();
  };
}

function tryWatch(path: string, onEvent: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(path, { recursive: true, persistent: false }, onEvent);
    watcher.on('error', () => watcher.close()); // the poll goes on
    return watcher;
  } catch {
    return undefined;
  }
}

/** Names, sizes, times and inodes of everything below `path`: differs when anything changed. */
async function fingerprint(path: string): Promise<string> {
  const parts: string[] = [];
  await collect(path, parts);
  return parts.join('\n');
}

async function collect(path: string, parts: string[]): Promise<void> {
  if (parts.length >= MAX_WATCHED_FILES) return;
  try {
    const facts = await stat(path, { bigint: true });
    parts.push(`${path} ${facts.mtimeNs} ${facts.ctimeNs} ${facts.size} ${facts.ino}`);
    if (!facts.isDirectory()) return;
    const names = await readdir(path);
    for (const name of names.sort()) await collect(join(path, name), parts);
  } catch {
    parts.push(`${path} gone`);
  }
}
