import { isRecord } from '#policy/schema/schema.ts';
import { ApiError, isConflict, isNotFound } from '../client/api-error.ts';
import type { KubernetesClient } from '../client/kubernetes-client.ts';

/** Others wait for what is kept here: at the start, and at the end. */
const REQUEST_TIMEOUT_MS = 5_000;

/** One value in the `binaryData` of a ConfigMap, as it was read. */
export interface StoredValue {
  /** Undefined: there is none yet. */
  readonly value: Buffer | undefined;
  readonly object: { readonly [key: string]: unknown };
}

/** One value in one ConfigMap, by the rights get and update on its name alone. */
export class KubernetesConfigMap {
  readonly name: string;
  readonly #path: string;
  readonly #key: string;
  readonly #client: KubernetesClient;

  constructor(client: KubernetesClient, namespace: string, name: string, key: string) {
    this.#client = client;
    this.name = name;
    this.#key = key;
    this.#path = `/api/v1/namespaces/${namespace}/configmaps/${name}`;
  }

  /** Undefined: the ConfigMap does not exist. Throws ApiError. */
  async read(signal: AbortSignal): Promise<StoredValue | undefined> {
    try {
      const object = await this.#client.request(this.#path, { timeoutMs: REQUEST_TIMEOUT_MS, signal });
      if (!isRecord(object)) throw new ApiError(undefined, '', `GET ${this.#path}: the answer is not an object`);
      const text = isRecord(object.binaryData) ? object.binaryData[this.#key] : undefined;
      return { value: typeof text === 'string' ? Buffer.from(text, 'base64') : undefined, object };
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /** In place of what was read; `conflict`: somebody else wrote since. Throws ApiError. */
  async write(value: Buffer, { object }: StoredValue, signal: AbortSignal): Promise<'written' | 'conflict'> {
    // it has the resourceVersion that was read: the API server takes it for no other
    const body = { ...object, binaryData: { [this.#key]: value.toString('base64') } };
    try {
      await this.#client.request(this.#path, { method: 'PUT', body, timeoutMs: REQUEST_TIMEOUT_MS, signal });
      return 'written';
    } catch (error) {
      if (isConflict(error)) return 'conflict';
      throw error;
    }
  }
}
