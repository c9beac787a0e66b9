import { setImmediate as nextTurn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { DocumentFacts } from '#policy/resource/document-facts.ts';
import {
  type DocumentField,
  MAX_SCHEMA_DOCUMENT_BYTES,
  type TravellingForm,
} from '#policy/resource/kinds/api-schema.ts';

/** Longer documents are read by another thread: 8 KiB of YAML take some milliseconds, GitHub's 13 MB of JSON more than a second. */
export const MAX_CHARACTERS_READ_HERE = 8 * 1024;
/** A document that takes longer is given up: its APISchema is not in force, and says so. */
export const DOCUMENT_TIMEOUT_MS = 60_000;
/**
 * Heap of the thread: GitHub's document takes 128 MB as JSON and 512 as YAML. Two thirds of what the chart gives a control plane: whoever may write an
 * APISchema shall not end it.
 */
const MAX_HEAP_MB = 512;
/** Beside this file, and beside this file's bundle (scripts/build.mjs). */
const PROGRAM = import.meta.url.endsWith('.ts') ? './document-worker.ts' : './document-worker.mjs';

/** A value of a ConfigMap: text of `data`, or base64 of `binaryData`. A key is in one of them alone. */
export interface DocumentPart {
  readonly text: string;
  readonly isBase64?: true;
}

/** A document as it travels, and what is to be said of it; or that it is being read, or why it cannot be. */
export type DocumentReading =
  | { readonly kind: 'read'; readonly form: TravellingForm; readonly facts: DocumentFacts }
  | { readonly kind: 'failed'; readonly reason: string }
  | { readonly kind: 'pending' };

/** Where long documents are read. */
export interface LongDocuments {
  /** `owner`: whose it is; of each the last document is kept, until it is forgotten. */
  read(owner: string, field: DocumentField, parts: readonly DocumentPart[]): DocumentReading;
  /** The same of a document that was read already; pending where it was not: nothing is begun. */
  known(owner: string, field: DocumentField, parts: readonly DocumentPart[]): DocumentReading;
  /** The owner is gone. */
  forget(owner: string): void;
}

export interface DocumentReaderOptions {
  /** A document that was pending has been read, or has failed. */
  readonly onRead: () => void;
  /** Default DOCUMENT_TIMEOUT_MS. */
  readonly timeoutMs?: number;
  /** Default 512. */
  readonly maxHeapMb?: number;
}

interface Entry {
  readonly field: DocumentField;
  readonly parts: readonly DocumentPart[];
  reading: DocumentReading;
}

const PENDING: DocumentReading = { kind: 'pending' };

/**
 * Reads long documents in a thread of its own, one after the other in the order in which they were asked for: it is started with the
 * first, and ended when none is left. Nobody waits: who asks is told that a document is pending, and asks again when `onRead` calls back.
 */
export class DocumentReader implements LongDocuments {
  readonly #options: DocumentReaderOptions;
  /** As many as there are owners. */
  readonly #entries = new Map<string, Entry>();
  readonly #waiting = new Set<string>();
  #worker: Worker | undefined;
  #reading: Promise<void> | undefined;
  #isClosed = false;

  constructor(options: DocumentReaderOptions) {
    this.#options = options;
  }

  read(owner: string, field: DocumentField, parts: readonly DocumentPart[]): DocumentReading {
    const known = this.#known(owner, field, parts);
    if (known !== undefined) return known;
    const length = parts.reduce((sum, { text }) => sum + text.length, 0);
    if (length > MAX_SCHEMA_DOCUMENT_BYTES * 2) {
      return { kind: 'failed', reason: tooLong(length) };
    }
    if (this.#isClosed) return PENDING;
    this.#entries.set(owner, { field, parts, reading: PENDING });
    this.#waiting.delete(owner); // to the end of the row
    this.#waiting.add(owner);
    this.#reading ??= this.#readAll().finally(() => {
      this.#reading = undefined;
    });
    return PENDING;
  }

  known(owner: string, field: DocumentField, parts: readonly DocumentPart[]): DocumentReading {
    return this.#known(owner, field, parts) ?? PENDING;
  }

  forget(owner: string): void {
    this.#entries.delete(owner);
    this.#waiting.delete(owner);
  }

  #known(owner: string, field: DocumentField, parts: readonly DocumentPart[]): DocumentReading | undefined {
    const entry = this.#entries.get(owner);
    return entry?.field === field && areSame(entry.parts, parts) ? entry.reading : undefined;
  }

  /** Resolves when nothing is pending. */
  async settled(): Promise<void> {
    while (this.#reading !== undefined) await this.#reading;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#waiting.clear();
    await this.#endWorker();
    await this.settled();
  }

  async #readAll(): Promise<void> {
    // What one judgement asks for is asked for together.
    await nextTurn();
    while (this.#waiting.size > 0) {
      for (const owner of this.#waiting) {
        this.#waiting.delete(owner);
        const entry = this.#entries.get(owner);
        if (entry === undefined) continue;
        entry.reading = await this.#ask(entry);
        if (this.#isClosed) return;
        this.#options.onRead();
      }
      await this.#endWorker();
    }
  }

  async #ask({ field, parts }: Entry): Promise<DocumentReading> {
    const { timeoutMs = DOCUMENT_TIMEOUT_MS } = this.#options;
    const worker = this.#startedWorker();
    const { promise, resolve } = Promise.withResolvers<DocumentReading>();
    const failed = (reason: string) => resolve({ kind: 'failed', reason: `the document cannot be read: ${reason}` });
    const deadline = setTimeout(() => failed(`it takes longer than ${timeoutMs} ms`), timeoutMs);
    const onError = (error: unknown) => failed(error instanceof Error ? error.message : String(error));
    const onExit = (code: number) => failed(`its thread ended with code ${code}`);
    worker.on('message', resolve).on('error', onError).on('exit', onExit);
    for (const part of parts) {
      worker.postMessage(part);
      await nextTurn(); // a megabyte is copied in some milliseconds
    }
    worker.postMessage({ field });
    const reading = await promise;
    clearTimeout(deadline);
    worker.off('message', resolve).off('error', onError).off('exit', onExit);
    if (reading.kind === 'failed') await this.#endWorker();
    return reading;
  }

  #startedWorker(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    const { maxHeapMb = MAX_HEAP_MB } = this.#options;
    const worker = new Worker(new URL(PROGRAM, import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: maxHeapMb },
    });
    worker.on('error', () => {}); // between two documents it is of nobody's interest
    worker.unref();
    this.#worker = worker;
    return worker;
  }

  async #endWorker(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }
}

/** Said of a document that is longer than any may be. */
export function tooLong(bytes: number): string {
  return `document of ${bytes} bytes exceeds the limit of ${MAX_SCHEMA_DOCUMENT_BYTES}`;
}

/** Texts of ConfigMaps are the very strings of before while nothing has changed, so that comparing megabytes takes no time. */
function areSame(parts: readonly DocumentPart[], others: readonly DocumentPart[]): boolean {
  return (
    parts.length === others.length &&
    parts.every(({ text, isBase64 }, index) => text === others[index]?.text && isBase64 === others[index]?.isBase64)
  );
}
