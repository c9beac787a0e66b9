import { setTimeout as wait } from 'node:timers/promises';
import { isRecord } from '#policy/schema/schema.ts';
import type { EventLog } from '../../event-log.ts';
import { textOf } from '../api-object.ts';
import { ApiError, errorOfAnswer, isConflict, isNotFound } from '../client/api-error.ts';
import type { KubernetesClient } from '../client/kubernetes-client.ts';
import { type BackoffLimits, createBackoff } from '../watch/backoff.ts';
import { WATCH_SILENCE_MS } from '../watch/reflector.ts';

const BACKOFF: BackoffLimits = { firstMs: 500, longestMs: 30_000 };

/** A Secret as it was read: values decoded. */
export interface StoredSecret {
  readonly data: { readonly [key: string]: Buffer };
  readonly resourceVersion: string;
  /** Another for one that was made anew under its name. */
  readonly uid: string;
}

/** One Secret, by the rights get, watch and update on its name alone. */
export class KubernetesSecret {
  readonly namespace: string;
  readonly name: string;
  readonly #client: KubernetesClient;

  constructor(client: KubernetesClient, namespace: string, name: string) {
    this.#client = client;
    this.namespace = namespace;
    this.name = name;
  }

  /** Undefined: it does not exist. Throws ApiError. */
  async read(): Promise<StoredSecret | undefined> {
    const object = await this.#get();
    return object === undefined ? undefined : storedSecretOf(object);
  }

  /** Replaces all data; `conflict`: somebody else wrote since `resourceVersion`. Throws ApiError. */
  async write(data: { readonly [key: string]: Buffer }, resourceVersion: string): Promise<'written' | 'conflict'> {
    const object = await this.#get();
    if (object === undefined || storedSecretOf(object).resourceVersion !== resourceVersion) return 'conflict';
    const encoded = Object.fromEntries(Object.entries(data).map(([key, value]) => [key, value.toString('base64')]));
    try {
      await this.#client.request(this.#path, { method: 'PUT', body: { ...object, data: encoded } });
      return 'written';
    } catch (error) {
      if (isConflict(error)) return 'conflict';
      throw error;
    }
  }

  /** Calls back with each version of the Secret from now on, the present one first; ends with the signal. */
  async watch(onChange: (secret: StoredSecret) => void, signal: AbortSignal, log: EventLog): Promise<void> {
    const backoff = createBackoff(BACKOFF);
    let hasFailed = false;
    while (!signal.aborted) {
      try {
        await this.#client.watch(`/api/v1/namespaces/${this.namespace}/secrets`, {
          // Without a resourceVersion the present state comes first, so that nothing needs to be listed.
          query: { fieldSelector: `metadata.name=${this.name}`, watch: '1', allowWatchBookmarks: 'true' },
          silenceMs: WATCH_SILENCE_MS,
          signal,
          onEvent: (event) => {
            if (!isRecord(event) || !isRecord(event.object)) return;
            if (event.type === 'ERROR') throw errorOfAnswer(500, event.object, `watch of Secret ${this.name}`);
            backoff.reset();
            hasFailed = false;
            if (event.type === 'ADDED' || event.type === 'MODIFIED') onChange(storedSecretOf(event.object));
          },
        });
      } catch (error) {
        if (signal.aborted) return;
        if (!hasFailed) log('kubernetes_watch_failed', { resource: `secret ${this.name}`, error: String(error) });
        hasFailed = true;
      }
      await wait(backoff.next(), undefined, { signal }).catch(() => {});
    }
  }

  get #path(): string {
    return `/api/v1/namespaces/${this.namespace}/secrets/${this.name}`;
  }

  async #get(): Promise<{ readonly [key: string]: unknown } | undefined> {
    try {
      const object = await this.#client.request(this.#path);
      if (isRecord(object)) return object;
      throw new ApiError(undefined, '', `GET ${this.#path}: the answer is not an object`);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }
}

function storedSecretOf(object: { readonly [key: string]: unknown }): StoredSecret {
  const data = isRecord(object.data) ? Object.entries(object.data) : [];
  const metadata = isRecord(object.metadata) ? object.metadata : {};
  return {
    data: Object.fromEntries(data.map(([key, value]) => [key, Buffer.from(textOf(value), 'base64')])),
    resourceVersion: textOf(metadata.resourceVersion),
    uid: textOf(metadata.uid),
  };
}
