import { createHash } from 'node:crypto';
import type { RequestListener } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import { type MeshProcesses, type MeshSidecar, startMeshProcesses } from './mesh-processes.ts';
import { MeshTraffic } from './mesh-traffic.ts';
import { ask, startApp } from './start-app.ts';
import { startTurningClock, type TurningClock } from './turning-clock.ts';

const HOUR_MS = 3_600_000;
export const LEAF_LIFETIME_MS = 2 * HOUR_MS;
/** Far less than the ten minutes in which a connection is ended politely. */
export const STEP_MS = 40_000;
/** Some 15 steps are a check of the wall clock apart, and ten minutes. */
const LEAST_STEP_DURATION_MS = 100;

const POLICIES = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: shop, namespace: shop}
spec: {rules: [{from: [{source: {namespaces: [shop]}}]}]}
`;

/** A request as an app met it. */
interface Use {
  readonly atMs: number;
  /** SHA-256 of the caller's certificate. */
  readonly sha256: string;
}

/** web, which calls orders and stock; the clock of all is turned. */
export class TurningMesh {
  readonly clock: TurningClock;
  readonly mesh: MeshProcesses;
  readonly web: MeshSidecar;
  readonly sidecars: readonly MeshSidecar[];
  readonly traffic: MeshTraffic;
  readonly uses: readonly Use[];
  /** When each certificate of a caller ends, by SHA-256. */
  readonly ends = new Map<string, number>();

  constructor(
    clock: TurningClock,
    mesh: MeshProcesses,
    sidecars: readonly [MeshSidecar, ...MeshSidecar[]],
    uses: readonly Use[],
  ) {
    this.clock = clock;
    this.mesh = mesh;
    [this.web] = sidecars;
    this.sidecars = sidecars;
    this.uses = uses;
    this.traffic = new MeshTraffic(this.web.outbound, ['orders.shop', 'stock.shop'], clock.now);
  }

  /** Turns the clock on, in steps that every process has time to see; between them, `meanwhile`. */
  async pass(durationMs: number, meanwhile: (passedMs: number) => Promise<void> = async () => {}): Promise<void> {
    for (let passedMs = 0; passedMs < durationMs; passedMs += STEP_MS) {
      await this.clock.turn(STEP_MS);
      await Promise.all([sleep(LEAST_STEP_DURATION_MS), this.traffic.round()]);
      await this.#note(this.web);
      await meanwhile(passedMs + STEP_MS);
    }
  }

  /** A workload that comes now: enrols, makes connections of its own, and is served. */
  async visit(t: Test, name: string): Promise<void> {
    const visitor = await this.mesh.startSidecar(name, {});
    await this.#note(visitor);
    const { status, body } = await ask(visitor.outbound, { headers: { host: 'orders.shop' } });
    t.equal(status, 200, `${name}: ${body}`);
    visitor.process.kill('SIGTERM');
  }

  async #note(caller: MeshSidecar): Promise<void> {
    const certificate = await caller.certificate();
    if (certificate === undefined) return;
    const sha256 = createHash('sha256').update(certificate.raw).digest('hex');
    this.ends.set(sha256, certificate.validToDate.getTime());
  }
}

export async function startTurningMesh(t: Test): Promise<TurningMesh> {
  const clock = await startTurningClock(t);
  const uses: Use[] = [];
  const serve: RequestListener = (request, response) => {
    const [, sha256 = ''] = /Hash=(\w+)/.exec(String(request.headers['x-forwarded-client-cert'])) ?? [];
    uses.push({ atMs: clock.now(), sha256 });
    if (request.url !== '/stream') return void response.end('ok');
    const timer = setInterval(() => response.write('.'), LEAST_STEP_DURATION_MS);
    response.on('close', () => clearInterval(timer));
  };
  const [ordersApp, stockApp] = await Promise.all([startApp(t, serve), startApp(t, serve)]);
  const mesh = await startMeshProcesses(t, {
    environment: clock.environment,
    authority: `, leafLifetime: ${LEAF_LIFETIME_MS / HOUR_MS}h`,
  });
  await mesh.writePolicy('shop.yaml', POLICIES);
  const orders = await mesh.startSidecar('orders', { appPort: ordersApp.port });
  const stock = await mesh.startSidecar('stock', { appPort: stockApp.port });
  await mesh.writePolicy('orders.yaml', serviceOf('orders', orders.inbound));
  await mesh.writePolicy('stock.yaml', serviceOf('stock', stock.inbound));
  const web = await mesh.startSidecar('web', {});
  for (const host of ['orders.shop', 'stock.shop']) {
    let status = 0;
    for (let tries = 0; status !== 200 && tries < 100; tries++) {
      await sleep(100);
      status = (await ask(web.outbound, { headers: { host } })).status;
    }
  }
  const turning = new TurningMesh(clock, mesh, [web, orders, stock], uses);
  t.teardown(() => turning.traffic.end());
  return turning;
}

function serviceOf(name: string, port: number): string {
  return `apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: ${name}, namespace: shop}
spec:
  hosts: [${name}.shop]
  ports: [{port: 80, protocol: http}]
  endpoints: [{address: 127.0.0.1, port: ${port}, serviceAccount: ${name}}]
`;
}
