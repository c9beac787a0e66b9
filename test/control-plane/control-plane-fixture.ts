import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ControlPlaneConfiguration } from '#control-plane/configuration.ts';
import {
  type ControlPlaneOptions,
  type RunningControlPlane,
  startControlPlane,
} from '#control-plane/start-control-plane.ts';
import { issueJoinToken } from '#control-plane/tokens/issue-token.ts';
import type { Workload } from '#policy/workload-policy.ts';
import { type ControlPlaneConnection, connectControlPlane } from '#sidecar/control/connect-control-plane.ts';

export const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };
export const ORDERS: Workload = {
  name: 'orders-1',
  namespace: 'shop',
  serviceAccount: 'orders',
  labels: { app: 'orders' },
};

/** A policy that allows `from` to call the app of that label. */
export function allowPolicy(name: string, from: string, app = 'orders'): string {
  return `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ${name}, namespace: shop}
spec:
  selector: {matchLabels: {app: ${app}}}
  action: ALLOW
  rules: [{from: [{source: {principals: ["cluster.local/ns/shop/sa/${from}"]}}]}]
`;
}

export interface Event {
  readonly event: string;
  readonly fields: { readonly [name: string]: unknown };
}

/** A control plane over a folder of the test's own, and all it said. */
export class ControlPlaneFixture {
  readonly directory: string;
  readonly policies: string;
  readonly events: Event[] = [];
  readonly problems: string[] = [];
  running: RunningControlPlane | undefined;
  port = 0;

  constructor(directory: string) {
    this.directory = directory;
    this.policies = join(directory, 'policies');
  }

  get configuration(): ControlPlaneConfiguration {
    return {
      mesh: MESH,
      listen: { address: '127.0.0.1', port: this.port },
      source: {
        kind: 'directory',
        directory: this.policies,
        lastGoodFile: join(this.directory, 'state', 'last-good.json'),
      },
      authority: { kind: 'directory', directory: join(this.directory, 'state', 'ca') },
      meshDefaults: undefined,
      metrics: undefined,
      webhook: undefined,
      injection: undefined,
      tokenDirectory: join(this.directory, 'state', 'tokens'),
      statusPort: 0,
      hasUnusedInventory: false,
    };
  }

  /** Starts, or starts again at the same port. */
  async start(
    options: Pick<ControlPlaneOptions, 'leafLifetimeMs' | 'heartbeatIntervalMs' | 'federationLimits' | 'now'> = {},
  ): Promise<RunningControlPlane> {
    const running = await startControlPlane(this.configuration, {
      ...options,
      log: (event, fields = {}) => this.events.push({ event, fields }),
      printProblems: (lines) => this.problems.push(...lines),
    });
    this.running = running;
    this.port = Number(running.address.split(':')[1]);
    return running;
  }

  async stop(): Promise<void> {
    await this.running?.close();
    this.running = undefined;
  }

  async writePolicy(file: string, text: string): Promise<void> {
    await mkdir(this.policies, { recursive: true });
    await writeFile(join(this.policies, file), text);
  }

  /** A file with a new token. */
  async token(request: { serviceAccount?: string; isReusable?: boolean; ttlMs?: number } = {}): Promise<string> {
    const { serviceAccount = 'orders', isReusable = false, ttlMs } = request;
    const token = await issueJoinToken(this.configuration, { namespace: 'shop', serviceAccount, isReusable, ttlMs });
    const path = join(this.directory, `token-${token.slice(8, 20)}`);
    await writeFile(path, `${token}\n`);
    return path;
  }

  status(path: string): Promise<Response> {
    return fetch(`http://127.0.0.1:${this.running?.statusPort}${path}`);
  }
}

export interface SidecarOptions {
  readonly tokenFile?: string | undefined;
  readonly stateDirectory?: string;
  readonly workload?: Workload;
  readonly trustBundlePem?: string;
  readonly address?: string;
  readonly heartbeatIntervalMs?: number;
  readonly now?: () => number;
  readonly monotonicNow?: () => number;
  readonly signal?: AbortSignal;
}

/** The client side of a sidecar, and all it said. */
export class SidecarFixture {
  readonly events: Event[] = [];
  readonly #fixture: ControlPlaneFixture;

  constructor(fixture: ControlPlaneFixture) {
    this.#fixture = fixture;
  }

  connect(options: SidecarOptions): Promise<ControlPlaneConnection> {
    const { tokenFile, stateDirectory, workload = ORDERS, heartbeatIntervalMs, signal } = options;
    const { now, monotonicNow } = options;
    return connectControlPlane({
      address: options.address ?? `127.0.0.1:${this.#fixture.port}`,
      trustBundlePem: options.trustBundlePem ?? this.#fixture.running?.trustBundlePem ?? '',
      tokenFile,
      workload,
      mesh: MESH,
      ports: [8080],
      stateDirectory,
      log: (event, fields) => this.events.push({ event, fields: { ...fields } }),
      ...(heartbeatIntervalMs === undefined ? {} : { heartbeatIntervalMs }),
      ...(now === undefined ? {} : { now }),
      ...(monotonicNow === undefined ? {} : { monotonicNow }),
      ...(signal === undefined ? {} : { signal }),
    });
  }
}

/** Resolves once the condition holds; rejects, naming what was waited for, after `timeoutMs`. */
export async function eventually(
  what: string,
  isSo: () => boolean | Promise<boolean>,
  timeoutMs = 5_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
