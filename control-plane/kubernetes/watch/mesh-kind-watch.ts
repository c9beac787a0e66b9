import { KINDS, PLANNED_KINDS } from '#policy/resource/known-kinds.ts';
import { isRecord } from '#policy/schema/schema.ts';
import type { EventLog } from '../../event-log.ts';
import { recordsOf, textOf } from '../api-object.ts';
import { isNotFound } from '../client/api-error.ts';
import type { KubernetesClient } from '../client/kubernetes-client.ts';
import { type MeshObject, meshObjectOf } from '../resources/mesh-objects.ts';
import { type BackoffLimits, createBackoff } from './backoff.ts';
import { Reflector, type ReflectorState } from './reflector.ts';

/** Which kinds the API server has is asked this often: Istio's and the Gateway API's may come and go. */
export const DISCOVERY_INTERVAL_MS = 15_000;
/** A kind that discovery lacked this often in a row is gone: a server that has just started may not list all at once. */
const MISSES_UNTIL_GONE = 2;
const BACKOFF: BackoffLimits = { firstMs: 500, longestMs: DISCOVERY_INTERVAL_MS };

/** The first version that is served is watched: all versions are the same objects. */
const GROUPS: readonly { readonly group: string; readonly versions: readonly string[] }[] = [
  { group: 'lateral.dev', versions: ['v1alpha1'] },
  { group: 'security.istio.io', versions: ['v1', 'v1beta1'] },
  { group: 'gateway.networking.k8s.io', versions: ['v1'] },
];
/** Written by the control plane alone. */
const STATUS_ONLY: ReadonlySet<string> = new Set(['APIInventory']);

interface ServedKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly hasStatus: boolean;
}

export interface MeshKindWatchOptions {
  readonly client: KubernetesClient;
  readonly log: EventLog;
  readonly onChange: (key: string, object: MeshObject | undefined) => void;
  /** Default DISCOVERY_INTERVAL_MS. */
  readonly intervalMs?: number;
}

/** The resources of the mesh of every kind that the API server has now; a kind whose CRD appears is watched from then on. */
export class MeshKindWatch {
  readonly #options: MeshKindWatchOptions;
  readonly #watches = new Map<string, { readonly watch: Reflector<MeshObject>; misses: number }>();
  /** Kinds whose status can be written, by idOf. */
  #withStatus: ReadonlySet<string> = new Set();
  readonly #discovered = Promise.withResolvers<void>();
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: MeshKindWatchOptions) {
    this.#options = options;
  }

  start(): void {
    const backoff = createBackoff(BACKOFF);
    const { log, intervalMs = DISCOVERY_INTERVAL_MS } = this.#options;
    let hasFailed = false;
    const discover = async (): Promise<void> => {
      let waitMs = intervalMs;
      try {
        await this.#discover();
        backoff.reset();
        hasFailed = false;
        this.#discovered.resolve();
      } catch (error) {
        waitMs = backoff.next();
        if (!hasFailed) log('kubernetes_discovery_failed', { error: String(error) });
        hasFailed = true;
      }
      if (!this.#isClosed) this.#timer = setTimeout(() => void discover(), waitMs);
    };
    void discover();
  }

  /** Resolves once every kind that is there at the start has been listed. */
  async synced(): Promise<void> {
    await this.#discovered.promise;
    await Promise.all([...this.#watches.values()].map(({ watch }) => watch.synced));
  }

  /** True where the kind of an object has a status that is written apart from the rest. */
  servesStatus({ group, apiVersion, plural }: MeshObject): boolean {
    return this.#withStatus.has(idOf({ group, version: apiVersion.slice(group.length + 1), plural }));
  }

  get states(): readonly ReflectorState[] {
    return [...this.#watches.values()].map(({ watch }) => watch.state);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#discovered.resolve();
    await Promise.all([...this.#watches.values()].map(({ watch }) => watch.close()));
  }

  async #discover(): Promise<void> {
    const served = new Map<string, ServedKind>();
    for (const { group, versions } of GROUPS) {
      for (const kind of await this.#servedKinds(group, versions)) served.set(idOf(kind), kind);
    }
    if (this.#isClosed) return;
    this.#withStatus = new Set([...served].flatMap(([id, { hasStatus }]) => (hasStatus ? [id] : [])));
    for (const [id, kind] of served) {
      const known = this.#watches.get(id);
      if (known === undefined) this.#watches.set(id, { watch: this.#watch(kind), misses: 0 });
      else known.misses = 0;
    }
    for (const [id, known] of this.#watches) {
      if (served.has(id) || ++known.misses < MISSES_UNTIL_GONE) continue;
      this.#watches.delete(id);
      this.#options.log('kubernetes_kind_gone', { kind: id });
      void known.watch.close().then(() => known.watch.clear());
    }
  }

  async #servedKinds(group: string, versions: readonly string[]): Promise<readonly ServedKind[]> {
    for (const version of versions) {
      const list = await this.#options.client.request(`/apis/${group}/${version}`).catch((error: unknown) => {
        if (isNotFound(error)) return undefined;
        throw error;
      });
      if (!isRecord(list)) continue;
      const resources = recordsOf(list.resources);
      const names = new Set(resources.map(({ name }) => name));
      return resources.flatMap(({ name, kind }) => {
        const plural = textOf(name);
        const isKnown = typeof kind === 'string' && isOfMesh(kind, `${group}/${version}`) && !plural.includes('/');
        return isKnown ? [{ group, version, kind, plural, hasStatus: names.has(`${plural}/status`) }] : [];
      });
    }
    return [];
  }

  #watch(kind: ServedKind): Reflector<MeshObject> {
    const { client, log, onChange } = this.#options;
    const { group, version, plural } = kind;
    const watch = new Reflector<MeshObject>({
      client,
      log,
      path: `/apis/${group}/${version}/${plural}`,
      name: `${plural}.${group}`,
      map: (object) => meshObjectOf(object, kind),
      onChange: (_key, object, previous) => {
        const key = object?.key ?? previous?.key;
        if (key !== undefined) onChange(key, object);
      },
    });
    watch.start();
    return watch;
  }
}

function isOfMesh(kind: string, apiVersion: string): boolean {
  if (STATUS_ONLY.has(kind)) return false;
  const known = new Map<string, readonly string[]>([
    ...Object.values(KINDS).map(({ kind: name, apiVersions }) => [name, apiVersions] as const),
    ...Object.entries(PLANNED_KINDS),
  ]);
  return known.get(kind)?.includes(apiVersion) === true;
}

function idOf({ group, version, plural }: Pick<ServedKind, 'group' | 'version' | 'plural'>): string {
  return `${plural}.${group}/${version}`;
}
