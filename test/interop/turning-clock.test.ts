import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { RequestListener } from 'node:http';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { TestAuthority } from '../support/certificates.ts';
import { type MeshProcesses, type MeshSidecar, startMeshProcesses } from '../support/mesh-processes.ts';
import { MeshTraffic } from '../support/mesh-traffic.ts';
import { writePeerFiles } from '../support/peer-certificates.ts';
import { ask, startApp } from '../support/start-app.ts';
import { noTurningClock, startTurningClock, type TurningClock } from '../support/turning-clock.ts';

t.setTimeout(900_000);

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const LEAF_LIFETIME_MS = 2 * HOUR_MS;
/** Far less than the ten minutes in which a connection is ended politely. */
const STEP_MS = 40_000;
/** Some 15 steps are a check of the wall clock apart, and ten minutes. */
const LEAST_STEP_DURATION_MS = 100;
/** How late an end may be: checks are a second apart, in which the clock goes some steps on. */
const LATE_MS = 20 * STEP_MS;
/** Of all waits together, jitter and backoff included. */
const RENEWAL_SLACK = 1.2;

const skip = noTurningClock;

t.test('clocks of processes are turned while they run, and their timers are not', { skip }, async (t) => {
  const clock = await startTurningClock(t);
  const authority = new TestAuthority();
  const { cert, key } = authority.leaf('spiffe://cluster.local/ns/shop/sa/orders', Date.now(), HOUR_MS);
  const files = await writePeerFiles(t.testdirName, 'probe', cert, key);
  const root = await writePeerFiles(t.testdirName, 'root', authority.rootPem, '');
  const probe = fileURLToPath(new URL('../support/clock-probe.mjs', import.meta.url));
  const child = spawn(process.execPath, [probe, files.cert, files.key, root.cert], {
    env: { ...process.env, ...clock.environment },
  });
  t.teardown(() => child.kill('SIGKILL'));
  const lines = createInterface({ input: child.stdout });
  const next = async () => JSON.parse(String((await once(lines, 'line'))[0]));
  const before = await next();
  t.equal(before.verdict, 'valid');
  t.ok(Math.abs(before.wallMs - clock.now()) < 5_000, `${before.wallMs} ${clock.now()}`);
  await clock.turn(2 * HOUR_MS);
  child.stdin.write('\n');
  const after = await next();
  t.ok(Math.abs(after.wallMs - clock.now()) < 5_000, `${after.wallMs} ${clock.now()}`);
  t.equal(after.verdict, 'CERT_HAS_EXPIRED', 'OpenSSL goes by it');
  t.ok(after.monotonicMs - before.monotonicMs < MINUTE_MS, 'timers do not');
});

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
class TurningMesh {
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

async function startTurningMesh(t: Test): Promise<TurningMesh> {
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

t.test('a day of renewals under traffic fails no request', { skip }, async (t) => {
  const turning = await startTurningMesh(t);
  const { traffic, sidecars, uses, ends, clock } = turning;
  const startedAtMs = clock.now();
  let visits = 0;
  await turning.pass(24 * HOUR_MS, async (passedMs) => {
    if (passedMs > (visits + 0.5) * 4 * HOUR_MS) await turning.visit(t, `visitor-${++visits}`);
  });
  const dayMs = clock.now() - startedAtMs;
  await traffic.end();
  for (const { process } of sidecars) t.comment(process.printed.stderr.split('\n').slice(-30).join('\n'));
  t.comment(`${traffic.served} served, ${traffic.failed.length} failed, ${traffic.streams.length} streams ended`);
  t.same(traffic.failed.slice(0, 20), [], 'no request failed');
  t.ok(traffic.served > 1_000, `${traffic.served} were served`);
  const least = Math.floor(dayMs / (LEAF_LIFETIME_MS / 2) / RENEWAL_SLACK);
  for (const sidecar of sidecars) {
    const renewals = sidecar.events('certificate_in_use').length - 1;
    t.ok(renewals >= least, `${renewals} renewals of at least ${least}`);
  }
  const late = uses.filter(({ atMs, sha256 }) => atMs > (ends.get(sha256) ?? 0));
  t.same(late.slice(0, 5), [], 'no request came by a certificate that had ended');
  t.ok(new Set(uses.map(({ sha256 }) => sha256)).size > 3, 'and they came by several');
  const lives = traffic.streams.map(({ fromMs, toMs }) => toMs - fromMs);
  t.ok(lives.length >= 2 * Math.floor(dayMs / LEAF_LIFETIME_MS), `${lives.length} streams came to an end`);
  t.ok(Math.max(...lives) <= LEAF_LIFETIME_MS + LATE_MS, `none later than its certificate: ${Math.max(...lives)} ms`);
  t.ok(Math.min(...lives) >= LEAF_LIFETIME_MS / 4, `none at a mere renewal: ${Math.min(...lives)} ms`);
});

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
