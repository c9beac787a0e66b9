import type { EventLog } from '../event-log.ts';
import type { KubernetesClient } from './client/kubernetes-client.ts';
import { configMapDataOf } from './cluster-objects.ts';
import type { ConfigMapText } from './cluster-view.ts';
import { Reflector, type ReflectorState } from './reflector.ts';

/** ConfigMaps that are watched, each by a stream of its own; those beyond count as missing, and say why. */
export const MAX_CONFIG_MAPS = 256;

type ConfigMapData = { readonly [key: string]: string };

/** The ConfigMaps that APISchemas name, and no others: a cluster has many, and most are none of the mesh's affair. */
export class ConfigMapWatch {
  readonly #client: KubernetesClient;
  readonly #log: EventLog;
  readonly #onChange: (namespace: string, name: string) => void;
  readonly #watches = new Map<string, Reflector<ConfigMapData>>();

  constructor(client: KubernetesClient, log: EventLog, onChange: (namespace: string, name: string) => void) {
    this.#client = client;
    this.#log = log;
    this.#onChange = onChange;
  }

  /** Watches these, given as NAMESPACE/NAME, and no others from now on. */
  follow(keys: ReadonlySet<string>): void {
    for (const [key, watch] of this.#watches) {
      if (keys.has(key)) continue;
      this.#watches.delete(key);
      void watch.close();
    }
    for (const key of keys) {
      if (this.#watches.has(key) || this.#watches.size >= MAX_CONFIG_MAPS) continue;
      const [namespace = '', name = ''] = key.split('/');
      const watch = new Reflector<ConfigMapData>({
        client: this.#client,
        path: `/api/v1/namespaces/${encodeURIComponent(namespace)}/configmaps`,
        name: `configmaps ${key}`,
        query: { fieldSelector: `metadata.name=${name}` },
        map: configMapDataOf,
        onChange: () => this.#onChange(namespace, name),
        log: this.#log,
      });
      this.#watches.set(key, watch);
      watch.start();
      // A ConfigMap that is not there is no change, and yet news: now it is known to be missing.
      void watch.synced.then(() => this.#onChange(namespace, name));
    }
  }

  text(namespace: string, name: string, key: string): ConfigMapText {
    const watch = this.#watches.get(`${namespace}/${name}`);
    if (watch === undefined) {
      if (this.#watches.size < MAX_CONFIG_MAPS) return { kind: 'unknown' };
      return {
        kind: 'missing',
        reason: `${MAX_CONFIG_MAPS} ConfigMaps are watched already; join parts, or use inline`,
      };
    }
    if (!watch.state.isSynced) return { kind: 'unknown' };
    const data = watch.get(`${namespace}/${name}`);
    if (data === undefined) {
      return { kind: 'missing', reason: `ConfigMap ${name} is not in namespace ${namespace}` };
    }
    const text = Object.hasOwn(data, key) ? data[key] : undefined;
    if (text !== undefined) return { kind: 'text', text };
    const keys = Object.keys(data).join(', ') || 'none';
    return { kind: 'missing', reason: `ConfigMap ${name} has no key ${key} in its data; it has ${keys}` };
  }

  async synced(): Promise<void> {
    await Promise.all([...this.#watches.values()].map(({ synced }) => synced));
  }

  get states(): readonly ReflectorState[] {
    return [...this.#watches.values()].map(({ state }) => state);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#watches.values()].map((watch) => watch.close()));
  }
}
