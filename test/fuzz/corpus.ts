import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('./corpus/', import.meta.url));

/** What a target's corpus may weigh in the repository. */
export const MAX_CORPUS_BYTES = 50_000;

export interface CorpusEntry {
  readonly file: string;
  readonly bytes: Buffer;
}

/** The inputs that were worth keeping, by file name. */
export function readCorpus(target: string): readonly CorpusEntry[] {
  const path = join(folder, target);
  mkdirSync(path, { recursive: true });
  return readdirSync(path)
    .sort()
    .map((file) => ({ file, bytes: readFileSync(join(path, file)) }));
}

/** Keeps an input under the hash of its bytes; `kind`: `failure-` for what broke an invariant. */
export function keepInCorpus(target: string, bytes: Buffer, kind = ''): string {
  const name = `${kind}${createHash('sha256').update(bytes).digest('hex').slice(0, 16)}`;
  const path = join(folder, target, name);
  mkdirSync(join(folder, target), { recursive: true });
  writeFileSync(path, bytes);
  return path;
}
