import { setTimeout as wait } from 'node:timers/promises';
import { isRecord } from '#policy/schema/schema.ts';
import type { SidecarRegistry } from '../discovery/sidecar-registry.ts';
import type { EventLog } from '../event-log.ts';
import { countProgrammed, type ProgrammedCount } from '../replicas/programmed-counts.ts';
import { textOf } from './api-object.ts';
import { isNotFound } from './client/api-error.ts';
import { type KubernetesClient, MERGE_PATCH } from './client/kubernetes-client.ts';
import type { ClusterState } from './cluster-state.ts';
import { conditionsOf, mergedConditions } from './conditions.ts';
import { NO_SELECTOR, selectorOf } from './judge-object.ts';
import type { JudgedResource } from './mesh-resources.ts';

/** Between two passes at the least: what changes meanwhile is written together. */
export const PASS_INTERVAL_MS = 1_000;
/** A pass is made this often though nothing has happened here: other replicas' sidecars have answers too. */
export const IDLE_PASS_INTERVAL_MS = 10_000;
/** Writes a second, so that a change that concerns every resource does not flood the API server. */
export const MAX_WRITES_A_SECOND = 50;
/** Longest spec that is left in the status of a broken object; of longer ones a control plane that starts knows nothing. */
export const MAX_KEPT_SPEC_LENGTH = 64 * 1024;
/** Errors that are told of one pass; the others are counted. */
const MAX_LOGGED_ERRORS = 1;

export interface StatusWriterOptions {
  readonly client: KubernetesClient;
  readonly state: ClusterState;
  readonly registry: SidecarRegistry;
  /** What the sidecars of the other replicas have in force. */
  readonly otherReplicas: (services: readonly string[]) => Promise<readonly ProgrammedCount[]>;
  readonly log: EventLog;
}

/** Writes what is said of each resource into its status, where it says something else; by the leader alone. */
export class StatusWriter {
  readonly #options: StatusWriterOptions;
  /** What was written last, while the watch has not told of it yet: by key, with the version it was written over. */
  readonly #written = new Map<string, { readonly over: string; readonly conditions: readonly unknown[] }>();
  #ending: AbortController | undefined;
  #running: Promise<void> = Promise.resolve();
  #wake: (() => void) | undefined;
  #isDue = true;
  #counts = { writes: 0, failures: 0 };

  constructor(options: StatusWriterOptions) {
    this.#options = options;
  }

  get counts(): { readonly writes: number; readonly failures: number } {
    return this.#counts;
  }

  /** Something to say may have changed. */
  due(): void {
    this.#isDue = true;
    this.#wake?.();
  }

  start(): void {
    if (this.#ending !== undefined) return;
    const ending = new AbortController();
    this.#ending = ending;
    this.#written.clear();
    this.#isDue = true;
    this.#running = this.#running.then(() => this.#run(ending.signal));
  }

  async stop(): Promise<void> {
    this.#ending?.abort();
    this.#ending = undefined;
    this.#wake?.();
    await this.#running;
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#isDue = false;
      await this.#pass(signal).catch((error: unknown) => {
        this.#options.log('status_pass_failed', { error: String(error) });
      });
      await wait(PASS_INTERVAL_MS, undefined, { signal }).catch(() => {});
      if (!this.#isDue) await this.#idle(signal);
    }
  }

  async #idle(signal: AbortSignal): Promise<void> {
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    const resting = new AbortController();
    await Promise.race([
      woken,
      wait(IDLE_PASS_INTERVAL_MS, undefined, { signal: AbortSignal.any([signal, resting.signal]) }).catch(() => {}),
    ]);
    resting.abort();
    this.#wake = undefined;
  }

  async #pass(signal: AbortSignal): Promise<void> {
    const { state, log } = this.#options;
    const counts = await this.#countsByKey();
    const nowIso = `${new Date().toISOString().slice(0, 19)}Z`;
    let failures = 0;
    for (const judged of [...state.resources.values()]) {
      if (signal.aborted) return;
      if (judged.object.group !== 'lateral.dev') continue;
      const conditions = this.#due(judged, counts, nowIso);
      if (conditions === undefined) continue;
      try {
        await this.#write(judged, conditions, signal);
      } catch (error) {
        if (signal.aborted) return;
        // Gone since; or it cannot be written now, and the next pass tries again.
        if (isNotFound(error)) continue;
        this.#counts.failures += 1;
        failures += 1;
        if (failures <= MAX_LOGGED_ERRORS)
          log('status_not_written', { resource: judged.object.key, error: String(error) });
      }
      await wait(1_000 / MAX_WRITES_A_SECOND, undefined, { signal }).catch(() => {});
    }
    for (const key of this.#written.keys()) if (state.resources.get(key) === undefined) this.#written.delete(key);
  }

  async #countsByKey(): Promise<ReadonlyMap<string, readonly ProgrammedCount[]>> {
    const { registry, state, otherReplicas } = this.#options;
    const services = meshServiceKeys(state);
    const own = countProgrammed(registry.sidecars, services);
    return Map.groupBy([...own, ...(await otherReplicas(services))], ({ key }) => key);
  }

  #due(
    judged: JudgedResource,
    counts: ReadonlyMap<string, readonly ProgrammedCount[]>,
    nowIso: string,
  ): readonly unknown[] | undefined {
    const { state } = this.#options;
    const { object, inForce } = judged;
    const own = inForce === undefined ? [] : (counts.get(inForce.key) ?? []);
    const wanted = conditionsOf(judged, own, state.pods, state.mesh.rootNamespace);
    if (wanted === undefined) return undefined;
    const written = this.#written.get(object.key);
    const isPending = written !== undefined && written.over === object.metadata.resourceVersion;
    const standing = isPending ? written.conditions : object.conditions;
    const merged = mergedConditions(standing, wanted, nowIso);
    if (merged !== undefined || isPending) return merged;
    return lastGoodSpecOf(judged) === object.lastGoodSpec ? undefined : standing;
  }

  async #write(judged: JudgedResource, conditions: readonly unknown[], signal: AbortSignal): Promise<void> {
    const { state } = this.#options;
    const { object, good } = judged;
    const lastGoodSpec = lastGoodSpecOf(judged) || null; // null: a merge patch removes the field
    const { namespace, name, generation: observedGeneration } = object.metadata;
    const selector = good === undefined ? NO_SELECTOR : selectorOf(good);
    const workloads =
      selector === NO_SELECTOR ? null : state.pods.count(namespace, selector, state.mesh.rootNamespace).meshed;
    const path = `/apis/${object.apiVersion}/namespaces/${namespace}/${object.plural}/${name}/status`;
    const body = { status: { observedGeneration, workloads, lastGoodSpec, conditions } };
    const answer = await this.#options.client.request(path, {
      method: 'PATCH',
      body,
      contentType: MERGE_PATCH,
      query: { fieldManager: 'lateral-control-plane' },
      signal,
    });
    this.#counts.writes += 1;
    const metadata = isRecord(answer) && isRecord(answer.metadata) ? answer.metadata : {};
    // A write that changed nothing leaves the version as it was: then nothing will be told of it.
    if (textOf(metadata.resourceVersion) === object.metadata.resourceVersion) return;
    this.#written.set(object.key, { over: object.metadata.resourceVersion, conditions });
  }
}

/** What is left in the status of an object whose last good form is in force; empty: nothing. */
function lastGoodSpecOf({ problems = [], good }: JudgedResource): string {
  if (good === undefined || !problems.some(({ severity }) => severity === 'error')) return '';
  const { value } = good.document;
  const text = JSON.stringify(isRecord(value) ? (value.spec ?? {}) : {});
  return text.length > MAX_KEPT_SPEC_LENGTH ? '' : text;
}

/** The MeshServices that somebody wrote, beside those that Services are. */
function meshServiceKeys(state: ClusterState): readonly string[] {
  return [...state.resources.values()].flatMap(({ inForce, object }) =>
    object.kind === 'MeshService' && inForce !== undefined ? [inForce.key] : [],
  );
}
