import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as wait } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Mesh } from '#policy/workload-policy.ts';
import type { AuthorityMaterial } from '../authority/authority-material.ts';
import { openAuthority } from '../authority/authority-store.ts';
import type { SidecarRegistry } from '../discovery/sidecar-registry.ts';
import type { EventLog } from '../event-log.ts';
import type { ServerIdentity } from '../grpc/tls-listener.ts';
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
  /** By name of the Secret: what is in force, which is what was opened first, then what was told of. */
  readonly #authorities = new Map<string, AuthorityMaterial>();
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

  /** The authority in a Secret; waits for the API server, however long. */
  async openAuthority(name: string): Promise<AuthorityMaterial> {
    const material = await this.#readAuthority(name, this.#options.signal);
    if (!this.#authorities.has(name)) this.#authorities.set(name, material);
    return material;
  }

  async #readAuthority(name: string, signal: AbortSignal): Promise<AuthorityMaterial> {
    const { mesh, log } = this.#options;
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

  /**
   * Calls back with the authority each time that it is another than before, the first time than what `openAuthority` gave:
   * between the two the Secret may have changed. The leader renews an issuer whose end is near.
   */
  keepAuthority(name: string, onChange: (material: AuthorityMaterial) => void): void {
    const { log } = this.#options;
    const secret = this.secret(name);
    const ending = new AbortController();
    const signal = AbortSignal.any([ending.signal, this.#options.signal]);
    let version = '';
    let reading = Promise.resolve();
    const reread = async (): Promise<void> => {
      try {
        const material = await this.#readAuthority(name, signal);
        const known = this.#authorities.get(name);
        if (signal.aborted || (known !== undefined && isSameAuthority(known, material))) return;
        this.#authorities.set(name, material);
        onChange(material);
      } catch (error) {
        // What was in force stays so: certificates of a broken authority would be refused by all.
        if (!signal.aborted) log('authority_unreadable', { secret: name, error: String(error) });
      }
    };
    // One after the other, so that an earlier state never comes last; one more at most waits, and reads what is there then.
    let isWaiting = false;
    const due = () => {
      if (isWaiting) return;
      isWaiting = true;
      reading = reading.then(() => {
        isWaiting = false;
        return reread();
      });
    };
    void secret.watch(
      ({ resourceVersion }) => {
        if (version === resourceVersion) return;
        version = resourceVersion;
        due();
      },
      ending.signal,
      log,
    );
    const timer = setInterval(() => {
      if (this.isLeader) due();
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
    const service = `${mesh.rootNamespace}/${CONTROL_PLANE_SERVICE}`;
    const addresses = () => state.addressesOf(service, GRPC_PORT_NAME, self);
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

/** The key is that of the issuer's certificate: that was checked when they were read. */
function isSameAuthority(one: AuthorityMaterial, other: AuthorityMaterial): boolean {
  const certificates = ({ issuer, intermediates, roots }: AuthorityMaterial) =>
    [[issuer.certificate], intermediates, roots].map((list) => list.map((der) => Buffer.from(der).toString('base64')));
  return isDeepStrictEqual(certificates(one), certificates(other));
}
