import { setTimeout as wait } from 'node:timers/promises';
import { formatProblem } from '#policy/problem.ts';
import { snapshotOf } from '#policy/resource/resource-document.ts';
import type { Mesh } from '#policy/workload-policy.ts';
import type { PolicyDistribution } from '../discovery/policy-distribution.ts';
import type { WorkloadDirectory } from '../discovery/workload-directory.ts';
import { DocumentReader } from '../documents/document-reader.ts';
import type { EventLog } from '../event-log.ts';
import type { SourceStatus } from '../source/source-status.ts';
import type { ControlPlaneMetrics } from '../status/metrics.ts';
import type { KubernetesClient } from './client/kubernetes-client.ts';
import { clusterPodOf, clusterServiceOf, endpointSliceOf } from './cluster/cluster-objects.ts';
import { ClusterState } from './cluster/cluster-state.ts';
import { podDirectory } from './cluster/pod-directory.ts';
import type { ConfigMapText } from './resources/cluster-view.ts';
import type { MeshObject } from './resources/mesh-objects.ts';
import { type Coalesced, coalesce } from './watch/coalesce.ts';
import { ConfigMapWatch } from './watch/config-map-watch.ts';
import { MeshKindWatch } from './watch/mesh-kind-watch.ts';
import { Reflector, type ReflectorState, type WatchedCollection } from './watch/reflector.ts';

/** Changes that come together are applied together: once it is quiet for this long, */
export const QUIET_MS = 50;
/** and at the latest this long after the first of them. */
export const LONGEST_WAIT_MS = 500;
/** What could not be published is tried again after this long, though nothing has changed. */
export const PUBLISH_RETRY_MS = 2_000;
/** A start waits this long at most for long documents to be read: one team's must not keep the policies of all. */
export const DOCUMENTS_WAIT_MS = 30_000;
/** While the API server is not reached at the start, the log says so this often. */
const WAITING_LOG_INTERVAL_MS = 10_000;

export interface KubernetesSourceOptions {
  readonly client: KubernetesClient;
  readonly mesh: Mesh;
  readonly clusterDomain: string;
  /** Spec of MeshDefaults, where no resource is. */
  readonly meshDefaults: unknown;
  readonly distribution: PolicyDistribution;
  readonly metrics: ControlPlaneMetrics;
  readonly log: EventLog;
  /** Takes `file:line:column: severity code message`, one a line. */
  readonly printProblems: (lines: readonly string[]) => void;
  /** ConfigMaps that are yet to be applied; they go before those of the cluster. */
  readonly plannedConfigMap?: (namespace: string, name: string, key: string) => ConfigMapText | undefined;
  /** Long documents are read by another thread: nothing waits while they are. Default: false. */
  readonly readsDocumentsApart?: boolean;
  /** Groups whose objects are told in their status what is found of them; default: all. */
  readonly statusGroups?: readonly string[] | undefined;
  /** Ends the wait for the first lists. */
  readonly signal: AbortSignal;
}

/** The cluster's resources in force, kept so as they change. */
export class KubernetesSource {
  readonly state: ClusterState;
  readonly #options: KubernetesSourceOptions;
  readonly #reflectors: readonly WatchedCollection[];
  readonly #kinds: MeshKindWatch;
  readonly #configMaps: ConfigMapWatch;
  readonly #documents: DocumentReader | undefined;
  readonly #apply: Coalesced;
  readonly #appliedListeners = new Set<() => void>();
  readonly #published = Promise.withResolvers<void>();
  #isComplete = false;
  #isPublishDue = true;
  #retryTimer: NodeJS.Timeout | undefined;
  #lastFaults: ReadonlyMap<string, string> = new Map();
  #lastProblems = new Map<string, string>();
  #status: SourceStatus = { version: '', resourceCount: 0, lastApply: { at: '', isInForce: false, problems: [] } };

  constructor(options: KubernetesSourceOptions) {
    this.#options = options;
    const { client, mesh, clusterDomain, meshDefaults, log } = options;
    this.#apply = coalesce(() => this.#refresh(), { quietMs: QUIET_MS, longestMs: LONGEST_WAIT_MS });
    this.#documents = options.readsDocumentsApart
      ? new DocumentReader({ onRead: () => this.state.documentRead() })
      : undefined;
    const state = new ClusterState({
      mesh,
      clusterDomain,
      meshDefaults,
      configMapText: (...name) => options.plannedConfigMap?.(...name) ?? this.#configMaps.text(...name),
      longDocuments: this.#documents,
      onChange: () => this.#changed(),
    });
    this.state = state;
    const onChange = (namespace: string, name: string) => state.configMapChanged(namespace, name);
    this.#configMaps = new ConfigMapWatch(client, log, onChange);
    this.#kinds = new MeshKindWatch({ client, log, onChange: (key, object) => state.resourceChanged(key, object) });
    this.#reflectors = [
      new Reflector({
        client,
        log,
        path: '/api/v1/namespaces',
        name: 'namespaces',
        map: () => true,
        onChange: (key, value) => state.namespaceChanged(key.slice(1), value !== undefined),
      }),
      new Reflector({
        client,
        log,
        path: '/api/v1/serviceaccounts',
        name: 'serviceaccounts',
        map: () => true,
        onChange: (key, value) => state.serviceAccountChanged(key, value !== undefined),
      }),
      new Reflector({
        client,
        log,
        path: '/api/v1/pods',
        name: 'pods',
        map: clusterPodOf,
        onChange: (...change) => state.podChanged(...change),
      }),
      new Reflector({
        client,
        log,
        path: '/api/v1/services',
        name: 'services',
        map: clusterServiceOf,
        onChange: (...change) => state.serviceChanged(...change),
      }),
      new Reflector({
        client,
        log,
        path: '/apis/discovery.k8s.io/v1/endpointslices',
        name: 'endpointslices',
        map: endpointSliceOf,
        onChange: (...change) => state.sliceChanged(...change),
      }),
    ];
  }

  /** Who a workload is, by its Pod. */
  get workloads(): WorkloadDirectory {
    return podDirectory(this.state.pods, (address) => this.state.podAt(address));
  }

  /** True where what is found of an object belongs into its status. */
  takesStatus(object: MeshObject): boolean {
    const { statusGroups } = this.#options;
    return (statusGroups === undefined || statusGroups.includes(object.group)) && this.#kinds.servesStatus(object);
  }

  get status(): SourceStatus {
    return this.#status;
  }

  /** How well each collection is known. */
  get watches(): readonly ReflectorState[] {
    return [...this.#reflectors.map(({ state }) => state), ...this.#kinds.states, ...this.#configMaps.states];
  }

  /** Calls back after each change that was taken in; returns the function that ends it. */
  onApplied(listener: () => void): () => void {
    this.#appliedListeners.add(listener);
    return () => this.#appliedListeners.delete(listener);
  }

  /**
   * Resolves once everything has been listed and is in force: a part of it would be another law. Until then it waits for
   * the API server, however long, for ConfigMaps alone no longer than CONFIG_MAP_WAIT_MS; throws when the signal ends it.
   */
  async start(): Promise<void> {
    const { log, signal } = this.#options;
    const waiting = setInterval(() => {
      const missing = this.watches.filter(({ isSynced }) => !isSynced);
      const [first] = missing.flatMap(({ error }) => error ?? []);
      log('waiting_for_kubernetes', { missing: missing.map(({ name }) => name), error: first });
    }, WAITING_LOG_INTERVAL_MS);
    const ended = Promise.withResolvers<never>();
    const end = () => ended.reject(new Error('ended while it waited for the Kubernetes API'));
    signal.addEventListener('abort', end, { once: true });
    if (signal.aborted) end();
    try {
      await Promise.race([this.#synchronize(), ended.promise]);
      this.#isComplete = true;
      this.#refresh();
      await Promise.race([this.#published.promise, ended.promise]);
    } finally {
      clearInterval(waiting);
      signal.removeEventListener('abort', end);
    }
    log('policies_in_force', { version: this.#status.version, resources: this.#status.resourceCount });
  }

  async close(): Promise<void> {
    this.#apply.close();
    clearTimeout(this.#retryTimer);
    await Promise.all(
      [
        ...this.#reflectors,
        this.#kinds,
        this.#configMaps,
        ...(this.#documents === undefined ? [] : [this.#documents]),
      ].map((part) => part.close()),
    );
  }

  async #synchronize(): Promise<void> {
    for (const reflector of this.#reflectors) reflector.start();
    this.#kinds.start();
    await Promise.all([...this.#reflectors.map(({ synced }) => synced), this.#kinds.synced()]);
    // Which ConfigMaps count is known only now; without their texts schemas, and what needs them, would be missing.
    this.state.refresh();
    this.#configMaps.follow(this.state.resources.configMapKeys());
    await this.#configMaps.known();
    this.state.refresh();
    await this.#documentsRead();
  }

  /** Resolves once all documents are read, and at the latest after DOCUMENTS_WAIT_MS, with a line in the log. */
  async #documentsRead(): Promise<void> {
    if (this.#documents === undefined) return;
    const ending = new AbortController();
    const late = wait(DOCUMENTS_WAIT_MS, true, { signal: ending.signal }).catch(() => false);
    const isLate = await Promise.race([this.#documents.settled().then(() => false), late]);
    ending.abort();
    if (isLate) this.#options.log('documents_not_read', { after: `${DOCUMENTS_WAIT_MS} ms` });
  }

  #changed(): void {
    if (this.#isComplete) this.#apply.call();
  }

  #refresh(): void {
    const { log, metrics } = this.#options;
    try {
      if (this.state.refresh()) this.#isPublishDue = true;
      this.#configMaps.follow(this.state.resources.configMapKeys());
      this.#logNewFaults();
      if (this.#isPublishDue) this.#publish();
      this.#isPublishDue = false;
    } catch (error) {
      this.#isPublishDue = true;
      metrics.applies.failed++;
      log('policies_not_applied', { error: String(error), inForceVersion: this.#status.version });
      clearTimeout(this.#retryTimer);
      this.#retryTimer = setTimeout(() => this.#refresh(), PUBLISH_RETRY_MS);
    }
    for (const listener of [...this.#appliedListeners]) listener();
  }

  #publish(): void {
    const { distribution, metrics } = this.#options;
    const documents = this.state.documents();
    const { version } = snapshotOf(documents);
    const problems = this.#printNewProblems();
    if (version !== this.#status.version) {
      distribution.publish(documents);
    }
    const isInForce = problems.every((line) => !line.includes(': error '));
    metrics.applies.succeeded++;
    const lastApply = { at: new Date().toISOString(), isInForce, problems };
    this.#status = { version, resourceCount: documents.length, lastApply };
    this.#published.resolve();
  }

  /** A Service has no place for a status of ours: the log tells what its writer cannot see. */
  #logNewFaults(): void {
    const faults = this.state.serviceFaults;
    for (const [service, error] of faults) {
      if (this.#lastFaults.get(service) !== error) this.#options.log('service_refused', { service, error });
    }
    this.#lastFaults = new Map(faults);
  }

  /** Prints what is said of an object when it is another than before; returns all that is said. */
  #printNewProblems(): readonly string[] {
    const said = new Map<string, string>();
    const fresh: string[] = [];
    for (const { object, problems } of this.state.resources.values()) {
      if (problems === undefined || problems.length === 0) continue;
      const lines = problems.map(formatProblem);
      said.set(object.key, lines.join('\n'));
      if (this.#lastProblems.get(object.key) !== lines.join('\n')) fresh.push(...lines);
    }
    this.#lastProblems = said;
    if (fresh.length > 0) this.#options.printProblems(fresh);
    return [...said.values()].flatMap((lines) => lines.split('\n'));
  }
}
