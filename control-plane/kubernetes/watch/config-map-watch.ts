import { setTimeout as wait } from 'node:timers/promises';
import type { DocumentPart } from '../../documents/document-reader.ts';
import type { EventLog } from '../../event-log.ts';
import { isObjectName } from '../api-object.ts';
import type { KubernetesClient } from '../client/kubernetes-client.ts';
import { configMapValuesOf } from '../cluster/cluster-objects.ts';
import type { ConfigMapText } from '../resources/cluster-view.ts';
import { Reflector, type ReflectorState } from './reflector.ts';

/** ConfigMaps that are watched, each by a stream of its own; those beyond count as missing, and say why. */
export const MAX_CONFIG_MAPS = 256;
/** The share of each namespace, so that no team uses up what is there for all. */
export const MAX_CONFIG_MAPS_PER_NAMESPACE = 32;
/** A start waits this long at most for ConfigMaps: anybody can name one, and the policies of all wait with it. */
export const CONFIG_MAP_WAIT_MS = 10_000;

type ConfigMapData = { readonly [key: string]: DocumentPart };

interface WatchedConfigMap {
  readonly namespace: string;
  readonly watch: Reflector<ConfigMapData>;
  /** Why the API server does not show it. */
  refusal: string | undefined;
  /** Resolves once it is known what is there, or that nothing is to be had. */
  readonly known: PromiseWithResolvers<void>;
}

/** The ConfigMaps that APISchemas name, and no others: a cluster has many, and most are none of the mesh's affair. */
export class ConfigMapWatch {
  readonly #client: KubernetesClient;
  readonly #log: EventLog;
  readonly #onChange: (namespace: string, name: string) => void;
  readonly #watches = new Map<string, WatchedConfigMap>();

  constructor(client: KubernetesClient, log: EventLog, onChange: (namespace: string, name: string) => void) {
    this.#client = client;
    this.#log = log;
    this.#onChange = onChange;
  }

  /** Watches these, given as NAMESPACE/NAME, and no others from now on. */
  follow(keys: ReadonlySet<string>): void {
    for (const [key, { watch }] of this.#watches) {
      if (keys.has(key)) continue;
      this.#watches.delete(key);
      void watch.close();
    }
    for (const key of keys) {
      const [namespace = '', name = ''] = key.split('/');
      if (this.#watches.has(key) || !isObjectName(name) || this.#noRoomFor(namespace) !== undefined) continue;
      this.#watches.set(key, this.#watch(namespace, name));
    }
  }

  text(namespace: string, name: string, key: string): ConfigMapText {
    const watched = this.#watches.get(`${namespace}/${name}`);
    if (watched === undefined) {
      const reason = isObjectName(name) ? this.#noRoomFor(namespace) : `${name} cannot be the name of a ConfigMap`;
      return reason === undefined ? { kind: 'unknown' } : { kind: 'missing', reason };
    }
    const { watch, refusal } = watched;
    if (!watch.state.isSynced) {
      if (refusal === undefined) return { kind: 'unknown' };
      return { kind: 'missing', reason: `ConfigMap ${name} of namespace ${namespace} cannot be read: ${refusal}` };
    }
    const data = watch.get(`${namespace}/${name}`);
    if (data === undefined) {
      return { kind: 'missing', reason: `ConfigMap ${name} is not in namespace ${namespace}` };
    }
    const value = Object.hasOwn(data, key) ? data[key] : undefined;
    if (value !== undefined) return { kind: 'text', ...value };
    const keys = Object.keys(data).join(', ') || 'none';
    return { kind: 'missing', reason: `ConfigMap ${name} has no key ${key} in its data; it has ${keys}` };
  }

  /** Resolves once all are known, and at the latest after CONFIG_MAP_WAIT_MS, with a line in the log. */
  async known(): Promise<void> {
    const ending = new AbortController();
    const all = Promise.all([...this.#watches.values()].map(({ known }) => known.promise));
    const late = wait(CONFIG_MAP_WAIT_MS, undefined, { signal: ending.signal }).then(
      () => this.#log('config_maps_not_known', { after: `${CONFIG_MAP_WAIT_MS} ms`, missing: this.#unknown() }),
      () => {}, // all were known before
    );
    await Promise.race([all, late]);
    ending.abort();
  }

  get states(): readonly ReflectorState[] {
    return [...this.#watches.values()].map(({ watch }) => watch.state);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#watches.values()].map(({ watch }) => watch.close()));
  }

  #watch(namespace: string, name: string): WatchedConfigMap {
    const known = Promise.withResolvers<void>();
    const changed = () => this.#onChange(namespace, name);
    const watch = new Reflector<ConfigMapData>({
      client: this.#client,
      path: `/api/v1/namespaces/${encodeURIComponent(namespace)}/configmaps`,
      name: `configmaps ${namespace}/${name}`,
      query: { fieldSelector: `metadata.name=${name}` },
      map: configMapValuesOf,
      onChange: changed,
      onRefused: (reason) => {
        const isNews = watched.refusal !== reason;
        watched.refusal = reason;
        known.resolve();
        if (isNews) changed();
      },
      log: this.#log,
    });
    const watched: WatchedConfigMap = { namespace, watch, refusal: undefined, known };
    watch.start();
    // A ConfigMap that is not there is no change, and yet news: now it is known to be missing.
    void watch.synced.then(() => {
      known.resolve();
      changed();
    });
    return watched;
  }

  #noRoomFor(namespace: string): string | undefined {
    const advice = 'join parts, or use inline';
    if (this.#watches.size >= MAX_CONFIG_MAPS) return `${MAX_CONFIG_MAPS} ConfigMaps are watched already; ${advice}`;
    const own = [...this.#watches.values()].filter((watched) => watched.namespace === namespace).length;
    if (own < MAX_CONFIG_MAPS_PER_NAMESPACE) return undefined;
    return `${MAX_CONFIG_MAPS_PER_NAMESPACE} ConfigMaps of namespace ${namespace} are watched already; ${advice}`;
  }

  #unknown(): readonly string[] {
    return [...this.#watches].flatMap(([key, { watch, refusal }]) =>
      watch.state.isSynced || refusal !== undefined ? [] : [key],
    );
  }
}
