import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ControlPlaneConfiguration } from '#control-plane/configuration.ts';
import type { RefreshLimits } from '#control-plane/federation/keep-refreshed.ts';
import { RULE_CONFIG_MAPS } from '#control-plane/kubernetes/rules/shared-rule-store.ts';
import { type RunningControlPlane, startControlPlane } from '#control-plane/start-control-plane.ts';
import { isRecord } from '#policy/schema/schema.ts';
import { type ControlPlaneConnection, connectControlPlane } from '#sidecar/control/connect-control-plane.ts';
import { manifests } from '../../helm/helm-template.ts';
import { ApiServer } from '../../support/api-server.ts';
import { type Event, MESH } from '../control-plane-fixture.ts';

const CONNECT_TIMEOUT_MS = 20_000;
const RIGHTS: ReadonlySet<unknown> = new Set([
  'ServiceAccount',
  'ClusterRole',
  'ClusterRoleBinding',
  'Role',
  'RoleBinding',
]);
const BASE = `
{apiVersion: v1, kind: Namespace, metadata: {name: lateral-system}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: orders, namespace: shop}}
---
{apiVersion: v1, kind: Secret, metadata: {name: lateral-ca, namespace: lateral-system}, type: Opaque}
---
{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: lateral-control-plane, namespace: lateral-system}}
`;

export interface ReplicaOptions {
  readonly statusPort?: number;
  readonly now?: () => number;
  readonly federation?: NonNullable<ControlPlaneConfiguration['federation']>;
  readonly federationLimits?: RefreshLimits;
}

/** Control planes and the client sides of sidecars on an API server of their own, which has the kinds of lateral.dev. */
export class MeshOnApiServer {
  readonly api: ApiServer;
  readonly events: Event[] = [];
  readonly #closers: (() => Promise<void>)[] = [];

  constructor(directory: string) {
    this.api = new ApiServer(directory);
  }

  async start(): Promise<void> {
    await this.api.start();
    await this.api.installCrds();
    await this.api.apply(BASE);
    for (const name of RULE_CONFIG_MAPS) {
      await this.api.create({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: 'lateral-system' } });
    }
    process.env['KUBECONFIG'] = this.api.kubeconfig;
  }

  /** From now on control planes have the rights that the chart gives them with these options of helm, and no other. */
  async restrict(...options: string[]): Promise<void> {
    for (const object of manifests(...options)) if (RIGHTS.has(object.kind)) await this.api.create(object);
    const account = '/api/v1/namespaces/lateral-system/serviceaccounts/lateral-control-plane';
    const config = JSON.parse(await readFile(this.api.kubeconfig, 'utf8'));
    for (const { user } of config.users) user.token = await this.#tokenOf(account, { expirationSeconds: 3_600 });
    process.env['KUBECONFIG'] = `${this.api.kubeconfig}-of-control-plane`;
    await writeFile(process.env['KUBECONFIG'], JSON.stringify(config));
  }

  async stop(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) await close();
    await this.api.stop();
  }

  async startReplica(
    address = '127.0.0.1',
    { statusPort, now = Date.now, federation, federationLimits }: ReplicaOptions = {},
  ): Promise<RunningControlPlane> {
    const running = await startControlPlane(
      {
        mesh: MESH,
        listen: { address, port: 0 },
        source: { kind: 'kubernetes', clusterDomain: 'cluster.local' },
        authority: { kind: 'kubernetesSecret', name: 'lateral-ca' },
        meshDefaults: undefined,
        tokenDirectory: undefined,
        statusPort,
        metrics: undefined,
        webhook: undefined,
        injection: undefined,
        hasUnusedInventory: false,
        ...(federation === undefined ? {} : { federation }),
      },
      {
        log: (event, fields = {}) => this.events.push({ event, fields }),
        printProblems: () => {},
        now,
        ...(federationLimits === undefined ? {} : { federationLimits }),
      },
    );
    this.#closers.push(() => running.close());
    return running;
  }

  /** A Pod of the app orders that has a sidecar, as the kubelet would tell of it. */
  async runPod(name: string, ip: string): Promise<void> {
    await this.api.create({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name,
        namespace: 'shop',
        labels: { app: 'orders' },
        annotations: { 'lateral.dev/injected': '{"version":"1","interception":"redirect","inbound":{}}' },
      },
      spec: { serviceAccountName: 'orders', containers: [{ name: 'app', image: 'app' }] },
    });
    await this.api.patch(`/api/v1/namespaces/shop/pods/${name}/status`, {
      status: { phase: 'Running', podIP: ip, podIPs: [{ ip }] },
    });
  }

  /** The client side of the sidecar of a Pod; by default it takes all that it is sent. */
  async connect(
    replica: RunningControlPlane,
    pod: string,
    apply: () => Promise<void> = async () => {},
  ): Promise<ControlPlaneConnection> {
    const connection = await connectControlPlane({
      address: replica.address,
      trustBundlePem: replica.trustBundlePem,
      tokenFile: await this.#token(pod),
      workload: { name: pod, namespace: 'shop', serviceAccount: 'orders', labels: {} },
      mesh: MESH,
      ports: [8080],
      stateDirectory: undefined,
      log: () => {},
      signal: AbortSignal.timeout(CONNECT_TIMEOUT_MS),
    });
    connection.policies.start(apply).catch(() => {}); // closed before anything was in force
    this.#closers.push(() => connection.close());
    return connection;
  }

  /** Who holds the Lease; empty: nobody. */
  async leader(): Promise<string> {
    const path = '/apis/coordination.k8s.io/v1/namespaces/lateral-system/leases/lateral-control-plane';
    const lease = await this.api.client.request(path);
    return String((isRecord(lease) && isRecord(lease.spec) && lease.spec.holderIdentity) || '');
  }

  /** The status of an object of namespace shop. */
  async status(collection: string, name: string): Promise<{ readonly [field: string]: unknown }> {
    const object = await this.api.client.request(objectPath(collection, name));
    return isRecord(object) && isRecord(object.status) ? object.status : {};
  }

  /** `STATUS REASON MESSAGE` of each condition of a status, or of an entry in one, by type. */
  conditions({ conditions }: { readonly [field: string]: unknown }): { readonly [type: string]: string } {
    const list: readonly unknown[] = Array.isArray(conditions) ? conditions : [];
    const shown = list
      .filter(isRecord)
      .map(({ type, status, reason, message }) => [type, `${status} ${reason} ${message}`]);
    return Object.fromEntries(shown);
  }

  async #token(pod: string): Promise<string> {
    const found = await this.api.client.request(`/api/v1/namespaces/shop/pods/${pod}`);
    const uid = isRecord(found) && isRecord(found.metadata) ? found.metadata.uid : undefined;
    const path = join(this.api.directory, `token-${pod}`);
    const token = await this.#tokenOf('/api/v1/namespaces/shop/serviceaccounts/orders', {
      audiences: ['lateral-control-plane'],
      expirationSeconds: 600,
      boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: pod, uid },
    });
    await writeFile(path, token);
    return path;
  }

  async #tokenOf(account: string, spec: { readonly [field: string]: unknown }): Promise<string> {
    const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec };
    const answer = await this.api.client.request(`${account}/token`, { method: 'POST', body });
    return String(isRecord(answer) && isRecord(answer.status) ? answer.status.token : '');
  }
}

/** Of an object of namespace shop, in a collection as `security.istio.io/v1/authorizationpolicies`. */
export function objectPath(collection: string, name: string): string {
  const [group, version, plural] = collection.split('/');
  return `/apis/${group}/${version}/namespaces/shop/${plural}/${name}`;
}
