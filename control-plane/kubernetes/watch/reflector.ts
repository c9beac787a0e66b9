import { setTimeout as wait } from 'node:timers/promises';
import { isRecord } from '#policy/schema/schema.ts';
import type { EventLog } from '../../event-log.ts';
import { metadataOf, objectKey, recordsOf, textOf } from '../api-object.ts';
import { ApiError, errorOfAnswer, isGone, isRefused } from '../client/api-error.ts';
import type { KubernetesClient } from '../client/kubernetes-client.ts';
import { type Backoff, type BackoffLimits, createBackoff } from './backoff.ts';

/** Objects of one answer of a list. */
const PAGE_OBJECTS = 500;
/** Objects of one kind that are kept; those beyond are left out, and the log says so. */
export const MAX_OBJECTS = 200_000;
/** The server ends a watch by then; half of it at the soonest, so that not all end at once. */
const WATCH_SECONDS = 480;
/** Bookmarks come about once a minute: a watch that is silent for longer hangs, and is begun anew. */
export const WATCH_SILENCE_MS = 150_000;
/** All is listed anew and compared this often, whatever the watch has said. */
export const RESYNC_INTERVAL_MS = 30 * 60_000;
/** A watch that lived this long was in order: the next failure is a first one. */
const STEADY_MS = 10_000;
const BACKOFF: BackoffLimits = { firstMs: 250, longestMs: 30_000 };

export interface ReflectorOptions<T> {
  readonly client: KubernetesClient;
  /** Of the collection, e.g. `/api/v1/pods`. */
  readonly path: string;
  /** For log and metrics, e.g. `pods`. */
  readonly name: string;
  readonly query?: { readonly [name: string]: string };
  /** What is kept of an object; undefined: nothing. */
  readonly map: (object: { readonly [key: string]: unknown }) => T | undefined;
  /** After each change; undefined: it is gone. */
  readonly onChange: (key: string, value: T | undefined, previous: T | undefined) => void;
  /** At each answer that says no to the request as it is. */
  readonly onRefused?: (reason: string) => void;
  readonly log: EventLog;
  /** Default WATCH_SILENCE_MS. */
  readonly silenceMs?: number;
  /** Default RESYNC_INTERVAL_MS. */
  readonly resyncIntervalMs?: number;
  readonly backoff?: BackoffLimits;
}

/** How well the objects kept are known to be those of the API server. */
export interface ReflectorState {
  readonly name: string;
  readonly objects: number;
  /** The first list was taken in whole. */
  readonly isSynced: boolean;
  /** A watch is open. */
  readonly isWatching: boolean;
  /** The last failure, while nothing has succeeded since. */
  readonly error: string | undefined;
  readonly lists: number;
  readonly watches: number;
  readonly failures: number;
}

/** A collection that is kept, whatever of. */
export interface WatchedCollection {
  readonly state: ReflectorState;
  /** Resolves once the first list is taken in. */
  readonly synced: Promise<void>;
  start(): void;
  close(): Promise<void>;
}

interface Kept<T> {
  readonly resourceVersion: string;
  readonly value: T;
}

/**
 * The objects of one collection, kept as the API server has them: listed, watched from that version on, listed anew and
 * compared where the server no longer knows the version. While it is away the last state stays. Of what came back
 * unchanged nobody hears; nothing is removed that a whole list did not lack.
 */
export class Reflector<T> implements WatchedCollection {
  readonly #options: ReflectorOptions<T>;
  readonly #ending = new AbortController();
  readonly #kept = new Map<string, Kept<T>>();
  readonly #backoff: Backoff;
  readonly #synced = Promise.withResolvers<void>();
  #running: Promise<void> | undefined;
  #isSynced = false;
  #isWatching = false;
  #error: string | undefined;
  #isFull = false;
  #counts = { lists: 0, watches: 0, failures: 0 };

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
    this.#backoff = createBackoff(options.backoff ?? BACKOFF);
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Resolves once the first list is taken in. */
  get synced(): Promise<void> {
    return this.#synced.promise;
  }

  get state(): ReflectorState {
    const { name } = this.#options;
    const [objects, isSynced, isWatching, error] = [this.#kept.size, this.#isSynced, this.#isWatching, this.#error];
    return { name, objects, isSynced, isWatching, error, ...this.#counts };
  }

  get(key: string): T | undefined {
    return this.#kept.get(key)?.value;
  }

  *values(): Iterable<T> {
    for (const { value } of this.#kept.values()) yield value;
  }

  /** Ends the watch; what was kept stays. */
  async close(): Promise<void> {
    this.#ending.abort();
    this.#synced.resolve();
    await this.#running;
  }

  /** Reports every object as gone, for a kind that is no longer served. */
  clear(): void {
    for (const key of [...this.#kept.keys()]) this.#remove(key);
  }

  async #run(): Promise<void> {
    const { signal } = this.#ending;
    /** Where to watch from; undefined: a list comes first. */
    let version: string | undefined;
    let listedAtMs = 0;
    while (!signal.aborted) {
      try {
        if (version === undefined || Date.now() - listedAtMs > (this.#options.resyncIntervalMs ?? RESYNC_INTERVAL_MS)) {
          version = await this.#list();
          listedAtMs = Date.now();
        }
        version = await this.#watch(version);
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof WatchBroken) version = error.version;
        const cause = error instanceof WatchBroken ? error.cause : error;
        // Compaction, or a server that was away for long: what happened since is in no watch.
        if (isGone(cause)) version = undefined;
        await this.#failed(cause, signal);
      }
    }
  }

  async #failed(error: unknown, signal: AbortSignal): Promise<void> {
    const { log, name, onRefused } = this.#options;
    const text = error instanceof Error ? error.message : String(error);
    const waitMs = this.#backoff.next();
    this.#counts.failures += 1;
    // One line an outage, not one a retry.
    if (this.#error === undefined) {
      log('kubernetes_watch_failed', {
        resource: name,
        error: text,
        isGone: isGone(error),
        objectsKept: this.#kept.size,
      });
    }
    this.#error = text;
    if (isRefused(error)) onRefused?.(text);
    await wait(waitMs, undefined, { signal }).catch(() => {});
  }

  #succeeded(): void {
    const { log, name } = this.#options;
    if (this.#error !== undefined) log('kubernetes_watch_restored', { resource: name, objects: this.#kept.size });
    this.#error = undefined;
  }

  /** Takes in the whole collection by comparison; returns its version. */
  async #list(): Promise<string> {
    const { client, path, query } = this.#options;
    const { signal } = this.#ending;
    const seen = new Set<string>();
    let version = '';
    let token = '';
    do {
      const page = await client.request(path, {
        query: { ...query, limit: String(PAGE_OBJECTS), ...(token === '' ? {} : { continue: token }) },
        signal,
      });
      if (!isRecord(page) || !Array.isArray(page.items)) {
        throw new ApiError(undefined, '', `${path}: the answer is not a list`);
      }
      for (const item of recordsOf(page.items)) {
        const key = this.#take(item);
        if (key !== undefined) seen.add(key);
      }
      const metadata = isRecord(page.metadata) ? page.metadata : {};
      version = textOf(metadata.resourceVersion);
      token = textOf(metadata.continue);
    } while (token !== '');
    for (const key of [...this.#kept.keys()]) if (!seen.has(key)) this.#remove(key);
    this.#counts.lists += 1;
    this.#isSynced = true;
    this.#synced.resolve();
    this.#succeeded();
    return version;
  }

  /** Follows changes until the server ends the watch; returns the version reached. Throws WatchBroken. */
  async #watch(from: string): Promise<string> {
    const { client, path, query, silenceMs = WATCH_SILENCE_MS } = this.#options;
    let version = from;
    const startedAtMs = Date.now();
    const seconds = Math.round(WATCH_SECONDS * (0.5 + Math.random() / 2));
    this.#counts.watches += 1;
    try {
      await client.watch(path, {
        query: {
          ...query,
          watch: '1',
          allowWatchBookmarks: 'true',
          resourceVersion: from,
          timeoutSeconds: String(seconds),
        },
        silenceMs,
        signal: this.#ending.signal,
        onOpen: () => {
          this.#isWatching = true;
          this.#succeeded();
        },
        onEvent: (event) => {
          version = this.#event(event) ?? version;
        },
      });
    } catch (error) {
      throw new WatchBroken(version, error);
    } finally {
      this.#isWatching = false;
      if (version !== from || Date.now() - startedAtMs > STEADY_MS) this.#backoff.reset();
    }
    // A server that ends every watch at once is not asked again at once.
    if (version === from && Date.now() - startedAtMs < STEADY_MS) {
      await wait(this.#backoff.next(), undefined, { signal: this.#ending.signal }).catch(() => {});
    }
    return version;
  }

  /** Returns the version that the event leads to. */
  #event(event: unknown): string | undefined {
    const { path } = this.#options;
    if (!isRecord(event) || !isRecord(event.object)) throw new ApiError(undefined, '', `watch of ${path}: no event`);
    const { type, object } = event;
    if (type === 'ERROR') {
      throw errorOfAnswer(typeof object.code === 'number' ? object.code : 500, object, `watch of ${path}`);
    }
    if (type === 'ADDED' || type === 'MODIFIED') this.#take(object);
    const metadata = isRecord(object.metadata) ? object.metadata : {};
    if (type === 'DELETED')
      this.#remove(objectKey({ namespace: textOf(metadata.namespace), name: textOf(metadata.name) }));
    const version = textOf(metadata.resourceVersion);
    return version === '' ? undefined : version;
  }

  /** Returns the object's key where it has one. */
  #take(object: { readonly [key: string]: unknown }): string | undefined {
    const metadata = metadataOf(object);
    if (metadata === undefined) return undefined;
    const key = objectKey(metadata);
    const { resourceVersion } = metadata;
    const known = this.#kept.get(key);
    if (known !== undefined && known.resourceVersion === resourceVersion) return key;
    if (known === undefined && this.#kept.size >= MAX_OBJECTS) return this.#overflow(key);
    const value = this.#options.map(object);
    if (value === undefined) {
      this.#remove(key);
      return undefined;
    }
    this.#kept.set(key, { resourceVersion, value });
    this.#options.onChange(key, value, known?.value);
    return key;
  }

  #overflow(key: string): undefined {
    const { log, name } = this.#options;
    if (!this.#isFull) log('kubernetes_too_many_objects', { resource: name, limit: MAX_OBJECTS, firstLeftOut: key });
    this.#isFull = true;
    return undefined;
  }

  #remove(key: string): void {
    const known = this.#kept.get(key);
    if (known === undefined) return;
    this.#kept.delete(key);
    this.#options.onChange(key, undefined, known.value);
  }
}

/** A watch that failed, and how far it had come. */
class WatchBroken extends Error {
  readonly version: string;

  constructor(version: string, cause: unknown) {
    super('the watch broke off', { cause });
    this.version = version;
  }
}
