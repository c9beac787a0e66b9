import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Mesh } from '#policy/workload-policy.ts';
import { LEAF_LIFETIME_MS } from '../authority/authority.ts';
import { AuthorityKeeper } from '../authority/authority-keeper.ts';
import type { AuthorityBackend } from '../authority/state-store.ts';
import type { SidecarRegistry } from '../discovery/sidecar-registry.ts';
import type { EventLog } from '../event-log.ts';
import type { ServerIdentity } from '../grpc/tls-listener.ts';
import { askReplicas } from '../replicas/ask-replicas.ts';
import { type ApiConnection, openApiConnection } from './client/api-connection.ts';
import { KubernetesClient } from './client/kubernetes-client.ts';
import { KubernetesSecret } from './identity/secret.ts';
import { secretBackend } from './identity/secret-backend.ts';
import { createTokenReview, type ReviewToken } from './identity/token-review.ts';
import { KubernetesSource, type KubernetesSourceOptions } from './kubernetes-source.ts';
import { Leadership, leaseRenewedMs } from './lease.ts';
import { StatusWriter } from './status/status-writer.ts';

/** The Service of the control plane, and its port that replicas reach each other by. */
const CONTROL_PLANE_SERVICE = 'lateral-control-plane';
const GRPC_PORT_NAME = 'grpc';

export interface KubernetesOptions {
  readonly mesh: Mesh;
  /** Default LEAF_LIFETIME_MS. */
  readonly leafLifetimeMs?: number;
  /** Default Date.now. */
  readonly now?: () => number;
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
  /** By name of the Secret. */
  readonly #authorities = new Map<string, AuthorityKeeper>();
  readonly #onLeading: (() => void)[] = [];
  #leadership: Leadership | undefined;

  constructor(client: KubernetesClient, options: KubernetesOptions) {
    this.client = client;
    this.reviewToken = createTokenReview(client);
    this.#options = options;
  }

  get isLeader(): boolean {
    return this.#leadership?.isLeader === true;
  }

  /** Keeps the authority in a Secret; `seal`: as it is kept there. */
  authority(
    name: string,
    seal: (backend: AuthorityBackend) => AuthorityBackend = (backend) => backend,
  ): AuthorityKeeper {
    const known = this.#authorities.get(name);
    if (known !== undefined) return known;
    const { mesh, log, signal, leafLifetimeMs = LEAF_LIFETIME_MS, now = Date.now } = this.#options;
    const backend = seal(secretBackend(name, (one) => this.secret(one)));
    const isLeader = () => this.isLeader;
    const keeper = new AuthorityKeeper({ backend, mesh, leafLifetimeMs, isLeader, log, signal, now });
    this.#authorities.set(name, keeper);
    this.#closers.push(() => keeper.close());
    return keeper;
  }

  /** Puts the cluster's resources in force; waits until all of them are known. */
  async startSource(options: Omit<KubernetesSourceOptions, 'client' | 'signal'>): Promise<KubernetesSource> {
    const source = new KubernetesSource({
      ...options,
      readsDocumentsApart: true,
      client: this.client,
      signal: this.#options.signal,
    });
    this.#closers.push(() => source.close());
    await source.start();
    return source;
  }

  /** Calls back each time this replica becomes the leader. */
  onLeading(listener: () => void): void {
    this.#onLeading.push(listener);
  }

  /** Takes part in the election of the leader, who writes the status of resources. */
  lead(source: KubernetesSource, registry: SidecarRegistry, identity: () => ServerIdentity): void {
    const { mesh, log } = this.#options;
    const { client } = this;
    const { state } = source;
    const self = hostname();
    const addresses = () => this.otherReplicas(source);
    const otherReplicas = askReplicas({ mesh, identity, addresses, log });
    const takesStatus = source.takesStatus.bind(source);
    const writer = new StatusWriter({ client, state, registry, takesStatus, otherReplicas, log });
    const stops = [source.onApplied(() => writer.due()), registry.onChange(() => writer.due())];
    const onChange = (isLeader: boolean) => {
      if (isLeader) writer.start();
      else void writer.stop();
      if (isLeader) for (const listener of this.#onLeading) listener();
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

  /** When a leader was last there; undefined: none ever was. Throws ApiError. */
  leaseRenewedMs(): Promise<number | undefined> {
    return leaseRenewedMs(this.client, this.#options.mesh.rootNamespace);
  }

  /** `HOST:PORT` of every other replica, now. */
  otherReplicas({ state }: KubernetesSource): readonly string[] {
    const service = `${this.#options.mesh.rootNamespace}/${CONTROL_PLANE_SERVICE}`;
    return state.addressesOf(service, GRPC_PORT_NAME, hostname());
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
