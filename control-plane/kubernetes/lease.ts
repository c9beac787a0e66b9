import { setTimeout as wait } from 'node:timers/promises';
import { isRecord } from '#policy/schema/schema.ts';
import type { EventLog } from '../event-log.ts';
import { textOf } from './api-object.ts';
import { ApiError, isConflict } from './client/api-error.ts';
import type { KubernetesClient } from './client/kubernetes-client.ts';

/** Name of the Lease, in the root namespace; the chart makes it. */
export const LEASE_NAME = 'lateral-control-plane';
/** A holder that has not renewed for this long has lost it. */
export const LEASE_DURATION_MS = 15_000;
/** A holder that could not renew for this long gives up by itself, well before another may take over. */
export const RENEW_DEADLINE_MS = 10_000;
export const RENEW_INTERVAL_MS = 3_000;
const REQUEST_TIMEOUT_MS = 5_000;

export interface LeadershipOptions {
  readonly client: KubernetesClient;
  readonly namespace: string;
  /** Unique among all replicas that ever were. */
  readonly identity: string;
  readonly log: EventLog;
  readonly onChange: (isLeader: boolean) => void;
  readonly timing?: { readonly leaseMs: number; readonly deadlineMs: number; readonly renewMs: number };
}

/**
 * One of all replicas is the leader: who holds the Lease. How long another has held it unrenewed is measured by our own
 * clock, from when we saw its last change, so that clocks need not agree. Source: client-go, leaderelection.
 */
export class Leadership {
  readonly #options: LeadershipOptions;
  readonly #timing: { readonly leaseMs: number; readonly deadlineMs: number; readonly renewMs: number };
  readonly #ending = new AbortController();
  #running: Promise<void> | undefined;
  #isLeader = false;
  #renewedAtMs = 0;
  #observed = { resourceVersion: '', atMs: 0 };
  #hasFailed = false;

  constructor(options: LeadershipOptions) {
    this.#options = options;
    this.#timing = options.timing ?? {
      leaseMs: LEASE_DURATION_MS,
      deadlineMs: RENEW_DEADLINE_MS,
      renewMs: RENEW_INTERVAL_MS,
    };
  }

  get isLeader(): boolean {
    return this.#isLeader;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Gives the Lease back, so that another need not wait for it to run out. */
  async close(): Promise<void> {
    this.#ending.abort();
    await this.#running;
    if (!this.#isLeader) return;
    this.#become(false);
    const lease = await this.#read().catch(() => undefined);
    if (lease === undefined || holderOf(lease) !== this.#options.identity) return;
    await this.#write(lease, { holderIdentity: '' }).catch(() => {});
  }

  async #run(): Promise<void> {
    const { signal } = this.#ending;
    while (!signal.aborted) {
      try {
        await this.#attempt();
        this.#hasFailed = false;
      } catch (error) {
        if (!this.#hasFailed) this.#options.log('lease_unreachable', { lease: LEASE_NAME, error: String(error) });
        this.#hasFailed = true;
      }
      if (this.#isLeader && performance.now() - this.#renewedAtMs > this.#timing.deadlineMs) this.#become(false);
      const waitMs = this.#timing.renewMs * (0.8 + Math.random() * 0.4);
      await wait(waitMs, undefined, { signal }).catch(() => {});
    }
  }

  async #attempt(): Promise<void> {
    const { identity } = this.#options;
    const lease = await this.#read();
    const nowMs = performance.now();
    const { resourceVersion } = lease.metadata;
    if (resourceVersion !== this.#observed.resourceVersion) this.#observed = { resourceVersion, atMs: nowMs };
    const holder = holderOf(lease);
    const isOurs = holder === identity;
    if (!isOurs && holder !== '' && nowMs - this.#observed.atMs < this.#durationOf(lease)) {
      this.#become(false);
      return;
    }
    const now = microTime(new Date());
    const transitions = typeof lease.spec.leaseTransitions === 'number' ? lease.spec.leaseTransitions : 0;
    try {
      await this.#write(lease, {
        holderIdentity: identity,
        leaseDurationSeconds: Math.max(1, Math.ceil(this.#timing.leaseMs / 1000)),
        acquireTime: isOurs ? lease.spec.acquireTime : now,
        renewTime: now,
        leaseTransitions: isOurs ? transitions : transitions + 1,
      });
    } catch (error) {
      // Another wrote it since: who holds it is seen at the next attempt.
      if (isConflict(error)) return;
      throw error;
    }
    this.#renewedAtMs = nowMs;
    this.#become(true);
  }

  /** What the holder has promised; ours, where it says nothing. */
  #durationOf({ spec }: Lease): number {
    const { leaseDurationSeconds } = spec;
    return typeof leaseDurationSeconds === 'number' ? leaseDurationSeconds * 1000 : this.#timing.leaseMs;
  }

  #become(isLeader: boolean): void {
    if (this.#isLeader === isLeader) return;
    this.#isLeader = isLeader;
    this.#options.log(isLeader ? 'leadership_gained' : 'leadership_lost', { identity: this.#options.identity });
    this.#options.onChange(isLeader);
  }

  get #path(): string {
    return leasePath(this.#options.namespace);
  }

  async #read(): Promise<Lease> {
    const object = await this.#options.client.request(this.#path, { timeoutMs: REQUEST_TIMEOUT_MS });
    if (!isRecord(object) || !isRecord(object.metadata)) {
      throw new ApiError(undefined, '', `GET ${this.#path}: the answer is not a Lease`);
    }
    const metadata = { ...object.metadata, resourceVersion: textOf(object.metadata.resourceVersion) };
    return { object, metadata, spec: isRecord(object.spec) ? object.spec : {} };
  }

  async #write({ object, spec }: Lease, change: { readonly [field: string]: unknown }): Promise<void> {
    const body = { ...object, spec: { ...spec, ...change } };
    await this.#options.client.request(this.#path, { method: 'PUT', body, timeoutMs: REQUEST_TIMEOUT_MS });
  }
}

/** When the Lease was last renewed, by the clock of who did; undefined: never. Throws ApiError. */
export async function leaseRenewedMs(client: KubernetesClient, namespace: string): Promise<number | undefined> {
  const lease = await client.request(leasePath(namespace), { timeoutMs: REQUEST_TIMEOUT_MS });
  const renewedMs = isRecord(lease) && isRecord(lease.spec) ? Date.parse(textOf(lease.spec.renewTime)) : Number.NaN;
  return Number.isNaN(renewedMs) ? undefined : renewedMs;
}

function leasePath(namespace: string): string {
  return `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases/${LEASE_NAME}`;
}

interface Lease {
  readonly object: { readonly [key: string]: unknown };
  readonly metadata: { readonly resourceVersion: string };
  readonly spec: { readonly [key: string]: unknown };
}

function holderOf({ spec }: Lease): string {
  return textOf(spec.holderIdentity);
}

/** As the API's MicroTime is written: six digits of a second. */
function microTime(date: Date): string {
  return date.toISOString().replace('Z', '000Z');
}
