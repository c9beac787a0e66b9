import { setTimeout as wait } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { isRecord } from '#policy/schema/schema.ts';
import type { SidecarRegistry } from '../../discovery/sidecar-registry.ts';
import type { EventLog } from '../../event-log.ts';
import type { ReplicaAnswers } from '../../replicas/ask-replicas.ts';
import { countProgrammed, type ProgrammedCount } from '../../replicas/programmed-counts.ts';
import { textOf } from '../api-object.ts';
import { isConflict, isNotFound, isUnavailable } from '../client/api-error.ts';
import { type KubernetesClient, MERGE_PATCH } from '../client/kubernetes-client.ts';
import type { ClusterState } from '../cluster/cluster-state.ts';
import type { MeshObject } from '../resources/mesh-objects.ts';
import type { JudgedResource } from '../resources/mesh-resources.ts';
import { conditionsOf, workloadsOf } from './conditions.ts';
import type { StatusFields } from './status-form.ts';
import { STATUS_FORMS } from './status-forms.ts';
import { type StatusWrite, WrittenStatuses } from './written-statuses.ts';

/** Between two passes at the least: what changes meanwhile is written together. */
export const PASS_INTERVAL_MS = 1_000;
/** A pass is made this often though nothing has happened here: other replicas' sidecars have answers too. */
export const IDLE_PASS_INTERVAL_MS = 10_000;
/** Writes a second, so that a change that concerns every resource does not flood the API server. */
export const MAX_WRITES_A_SECOND = 50;
/** Errors that are told of one pass; the others are counted. */
const MAX_LOGGED_ERRORS = 1;

export interface StatusWriterOptions {
  readonly client: KubernetesClient;
  readonly state: ClusterState;
  readonly registry: SidecarRegistry;
  /** False where nothing is to be written: its kind has no status, or nobody wants it there. */
  readonly takesStatus: (object: MeshObject) => boolean;
  /** What the sidecars of the other replicas have in force. */
  readonly otherReplicas: (services: readonly string[]) => Promise<ReplicaAnswers>;
  readonly log: EventLog;
}

/** What the sidecars of all replicas have in force, by key of the resource. */
interface SidecarCounts {
  readonly byKey: ReadonlyMap<string, readonly ProgrammedCount[]>;
  readonly silentReplicas: number;
}

/** Writes what is said of each resource into its status, where it says something else; by the leader alone. */
export class StatusWriter {
  readonly #options: StatusWriterOptions;
  #written = new WrittenStatuses();
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
    this.#written = new WrittenStatuses();
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
    const counts = await this.#countSidecars();
    const nowIso = `${new Date().toISOString().slice(0, 19)}Z`;
    let failures = 0;
    for (const judged of [...state.resources.values()]) {
      if (signal.aborted) return;
      const write = this.#due(judged, counts, nowIso);
      if (write === undefined) continue;
      try {
        await this.#write(write, signal);
      } catch (error) {
        if (signal.aborted) return;
        // Another wrote first: the watch will tell what is there now.
        if (isConflict(error)) continue;
        if (!isUnavailable(error)) this.#written.refused(write);
        // Gone since, or its kind has no status.
        if (isNotFound(error)) continue;
        this.#counts.failures += 1;
        failures += 1;
        if (failures <= MAX_LOGGED_ERRORS)
          log('status_not_written', { resource: judged.object.key, error: String(error) });
      }
      await wait(1_000 / MAX_WRITES_A_SECOND, undefined, { signal }).catch(() => {});
    }
    this.#written.keep((key) => state.resources.get(key) !== undefined);
  }

  async #countSidecars(): Promise<SidecarCounts> {
    const { registry, state, otherReplicas } = this.#options;
    const services = meshServiceKeys(state);
    const { programmed, silent } = await otherReplicas(services);
    const own = countProgrammed(registry.sidecars, services);
    return { byKey: Map.groupBy([...own, ...programmed], ({ key }) => key), silentReplicas: silent };
  }

  /** What is to be written of one resource; undefined: nothing, or not now. */
  #due(judged: JudgedResource, { byKey, silentReplicas }: SidecarCounts, nowIso: string): StatusWrite | undefined {
    const { state, takesStatus } = this.#options;
    const { object, inForce } = judged;
    const form = takesStatus(object) ? STATUS_FORMS[object.group] : undefined;
    if (form === undefined) return undefined;
    const { rootNamespace } = state.mesh;
    const workloads = workloadsOf(judged, state);
    const counts = inForce === undefined ? [] : (byKey.get(inForce.key) ?? []);
    const conditions = conditionsOf(judged, counts, workloads, rootNamespace, silentReplicas);
    if (conditions === undefined || !this.#written.mayWrite(object.key, conditions)) return undefined;
    const { status, resourceVersion } = this.#written.standing(object);
    const fields = form({ judged, conditions, workloads: workloads?.meshed }, status, nowIso);
    if (fields === undefined || isSaid(fields, status)) return undefined;
    return { object, fields, conditions, resourceVersion };
  }

  async #write(write: StatusWrite, signal: AbortSignal): Promise<void> {
    const { object, fields, resourceVersion } = write;
    const { namespace, name } = object.metadata;
    const path = `/apis/${object.apiVersion}/namespaces/${namespace}/${object.plural}/${name}/status`;
    const answer = await this.#options.client.request(path, {
      method: 'PATCH',
      // A merge patch replaces lists as a whole: over another version it would undo what others wrote.
      body: { metadata: { resourceVersion }, status: fields },
      contentType: MERGE_PATCH,
      query: { fieldManager: 'lateral-control-plane' },
      signal,
    });
    this.#counts.writes += 1;
    const metadata = isRecord(answer) && isRecord(answer.metadata) ? answer.metadata : {};
    this.#written.wrote(write, textOf(metadata.resourceVersion));
  }
}

function isSaid(fields: StatusFields, standing: StatusFields): boolean {
  return Object.entries(fields).every(([name, value]) => isDeepStrictEqual(value, standing[name] ?? null));
}

/** The MeshServices that somebody wrote, beside those that Services are. */
function meshServiceKeys(state: ClusterState): readonly string[] {
  return [...state.resources.values()].flatMap(({ inForce, object }) =>
    object.kind === 'MeshService' && inForce !== undefined ? [inForce.key] : [],
  );
}
