import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Mesh } from '#policy/workload-policy.ts';
import { type Reading, readFolder } from './read-folder.ts';

/** A folder with more bytes, descriptions of APIs included, is read by another thread, */
export const MAX_BYTES_READ_HERE = 1024 * 1024;
/** and one with a file of more: files are read one after the other, each in one step, and a megabyte of YAML takes a second. */
export const MAX_FILE_BYTES_READ_HERE = 8 * 1024;
/** The thread that has read nothing for so long is ended. */
const IDLE_MS = 30_000;
/** A reading that takes longer is given up, and the last good set stays. */
export const READING_TIMEOUT_MS = 120_000;
/** Heap of the thread: a document of 32 MiB as values, twice. */
const MAX_HEAP_MB = 1024;
/** Beside this file, and beside this file's bundle (scripts/build.mjs). */
const PROGRAM = import.meta.url.endsWith('.ts') ? './folder-worker.ts' : './folder-worker.mjs';

export interface FolderQuestion {
  readonly directory: string;
  readonly mesh: Mesh;
}

/** Reads a policy folder time and again, one reading at a time, without holding up what else the thread does. */
export class FolderReader {
  readonly #question: FolderQuestion;
  #worker: Worker | undefined;
  #idle: NodeJS.Timeout | undefined;

  constructor(directory: string, mesh: Mesh) {
    this.#question = { directory, mesh };
  }

  /** Rejects when the other thread dies or takes too long; the next reading has a new one. */
  async read(): Promise<Reading> {
    const { directory, mesh } = this.#question;
    if (!(await isLarge(directory))) {
      await this.close();
      return readFolder(directory, mesh);
    }
    clearTimeout(this.#idle);
    this.#worker ??= startWorker();
    try {
      const reading = await ask(this.#worker, this.#question);
      this.#idle = setTimeout(() => void this.close(), IDLE_MS).unref();
      return reading;
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    clearTimeout(this.#idle);
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }
}

function startWorker(): Worker {
  const worker = new Worker(new URL(PROGRAM, import.meta.url), {
    resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB },
  });
  worker.unref();
  return worker;
}

function ask(worker: Worker, question: FolderQuestion): Promise<Reading> {
  const { promise, resolve, reject } = Promise.withResolvers<Reading>();
  const deadline = setTimeout(() => {
    reject(new Error(`reading ${question.directory} took longer than ${READING_TIMEOUT_MS} ms`));
  }, READING_TIMEOUT_MS);
  const failed = (error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error);
    reject(new Error(`reading ${question.directory} failed: ${reason}`));
  };
  const ended = (code: number) => failed(`its thread ended with code ${code}`);
  worker.once('message', resolve).once('error', failed).once('exit', ended);
  worker.postMessage(question);
  return promise.finally(() => {
    clearTimeout(deadline);
    worker.off('message', resolve).off('error', failed).off('exit', ended);
  });
}

/** Files that cannot be looked at count nothing here: the reading tells. */
async function isLarge(directory: string): Promise<boolean> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(() => []);
  let bytes = 0;
  for (const entry of entries) {
    if (entry.isDirectory()) continue;
    const size = (await stat(join(entry.parentPath, entry.name)).catch(() => undefined))?.size ?? 0;
    bytes += size;
    if (size > MAX_FILE_BYTES_READ_HERE || bytes > MAX_BYTES_READ_HERE) return true;
  }
  return false;
}
