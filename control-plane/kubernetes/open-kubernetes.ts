import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as wait } from 'node:timers/promises';
import type { Mesh } from '#policy/workload-policy.ts';
import type { AuthorityMaterial } from '../authority/authority-material.ts';
import { openAuthority } from '../authority/authority-store.ts';
import type { SidecarRegistry } from '../discovery/sidecar-registry.ts';
import type { EventLog } from '../event-log.ts';
import type { ServerIdentity } from '../grpc/server-credentials.ts';
import { askReplicas } from '../replicas/ask-replicas.ts';
import { type BackoffLimits, createBackoff } from './backoff.ts';
import { type ApiConnection, openApiConnection } from './client/api-connection.ts';
import { isUnavailable } from './client/api-error.ts';
import { KubernetesClient } from './client/kubernetes-client.ts';
import { KubernetesSource, type KubernetesSourceOptions } from './kubernetes-source.ts';
import { Leadership } from './lease.ts';
import { KubernetesSecret } from './secret.ts';
import { secretAuthority } from './secret-authority.ts';
import { StatusWriter } from './status-writer.ts';
import { createTokenReview, type ReviewToken } from './token-review.ts';

/** The Service of the control plane, and its port that replicas reach each other by. */
const CONTROL_PLANE_SERVICE = 'lateral-control-plane';
const GRPC_PORT_NAME = 'grpc';
/** The leader looks this often whether the issuing authority is to be renewed. */
const AUTHORITY_CHECK_INTERVAL_MS = 3_600_000;
const BACKOFF: BackoffLimits = { firstMs: 500, longestMs: 10_000 };

export interface KubernetesOptions {
  readonly mesh: Mesh;
  readonly log: EventLog;
  /** Ends whatever waits for the API server. */
  readonly signal: AbortSignal;
}

/** What a control plane does by the Kubernetes API. */
export class Kubernetes {
  readonly client: KubernetesClient;
  readonly reviewToken: ReviewToken;
  readonly #options: KubernetesOptions;
  readonly #closers: (() => void | Promise<void>)[] = [];
  #leadership: Leadership | undefined;

  constructor(client: KubernetesClient, options: KubernetesOptions) {
    this.client = client;
    this.reviewToken = createTokenReview(client);
    this.#options = options;
  }

  get isLeader(): boolean {
    return this.#leadership?.isLeader === true;
  }

  /** The authority in a Secret; waits for the API server, however long. */
  async openAuthority(name: string): Promise<AuthorityMaterial> {
    const { mesh, log, signal } = this.#options;
    const store = secretAuthority(this.secret(name));
    const backoff = createBackoff(BACKOFF);
    let hasFailed = false;
    for (;;) {
      try {
        return await openAuthority(store, mesh, Date.now());
      } catch (error) {
        if (!isUnavailable(error) || signal.aborted) throw error;
        if (!hasFailed) log('waiting_for_kubernetes', { missing: [`secret ${name}`], error: String(error) });
        hasFailed = true;
        await wait(backoff.next(), undefined, { signal }).catch(() => {});
      }
    }
  }

  /** Calls back with the authority each time the Secret changes; the leader renews an issuer whose end is near. */
  keepAuthority(name: string, onChange: (material: AuthorityMaterial) => void): void {
    const { mesh, log } = this.#options;
    const secret = this.secret(name);
    const ending = new AbortController();
    let version = '';
    const reread = async (): Promise<void> => {
      try {
        onChange(await openAuthority(secretAuthority(secret), mesh, Date.now()));
      } catch (error) {
        // What was in force stays so: certificates of a broken authority would be refused by all.
        log('authority_unreadable', { secret: name, error: String(error) });
      }
    };
    void secret.watch(
      ({ resourceVersion }) => {
        const isFirst = version === '';
        const isNew = version !== resourceVersion;
        version = resourceVersion;
        if (isNew && !isFirst) void reread();
      },
      ending.signal,
      log,
    );
    const timer = setInterval(() => {
      if (this.isLeader) void reread();
    }, AUTHORITY_CHECK_INTERVAL_MS);
    timer.unref();
    this.#closers.push(() => {
      ending.abort();
      clearInterval(timer);
    });
  }

  /** Puts the cluster's resources in force; waits until all of them are known. */
  async startSource(options: Omit<KubernetesSourceOptions, 'client' | 'signal'>): Promise<KubernetesSource> {
    const source = new KubernetesSource({ ...options, client: this.client, signal: this.#options.signal });
    this.#closers.push(() => source.close());
    await source.start();
    return source;
  }

  /** Takes part in the election of the leader, who writes the status of resources. */
  lead(source: KubernetesSource, registry: SidecarRegistry, identity: () => ServerIdentity): void {
    const { mesh, log } = this.#options;
    const { client } = this;
    const { state } = source;
    const self = hostname();
    const service = `${mesh.rootNamespace}/${CONTROL_PLANE_SERVICE}`;
    const addresses = () => state.addressesOf(service, GRPC_PORT_NAME, self);
    const otherReplicas = askReplicas({ mesh, identity, addresses, log });
    const writer = new StatusWriter({ client, state, registry, otherReplicas, log });
    const stops = [source.onApplied(() => writer.due()), registry.onChange(() => writer.due())];
    const onChange = (isLeader: boolean) => {
      if (isLeader) writer.start();
      else void writer.stop();
    };
    // As client-go does: a name may come again, and two that hold the Lease by one name would both lead.
    const holder = `${self}_${randomUUID()}`;
    const leadership = new Leadership({ client, namespace: mesh.rootNamespace, identity: holder, log, onChange });
    this.#leadership = leadership;
    leadership.start();
    this.#closers.push(async () => {
      for (const stop of stops) stop();
      await writer.stop();
      await leadership.close();
    });
  }

  secret(name: string): KubernetesSecret {
    return new KubernetesSecret(this.client, this.#options.mesh.rootNamespace, name);
  }

  async close(): Promise<void> {
    for (const closer of this.#closers.splice(0).reverse()) await closer();
    this.client.close();
  }
}

/** Finds the API server; throws with one sentence when none is known. */
export async function openKubernetes(options: KubernetesOptions, connection?: ApiConnection): Promise<Kubernetes> {
  return new Kubernetes(new KubernetesClient(connection ?? (await openApiConnection())), options);
}
