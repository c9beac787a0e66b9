// 2,000 sidecars of 1,000 Services renew at once, while policies of others are pushed; then again as soon as a control plane that was
// started anew serves. Prints one JSON line a storm: processor time of the control plane, how long renewals took, and pushes.
// Run: node scripts/bench/renewal-storm.ts [SIDECARS]. PROFILE=DIRECTORY writes a profile of the control plane there.
import { type ChildProcess, fork } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { fill, POLICIES, policy, SimulatedCluster } from './simulated-cluster.ts';
import { bundledControlPlane, startClusterControlPlane } from './start-cluster-control-plane.ts';

const SIDECARS = Number(process.argv[2] ?? 2_000);
/** Those that are pushed policies to; they do not renew. */
const OBSERVERS = 20;
const PUSH_INTERVAL_MS = 500;
const PUSHES_ALONE_MS = 10_000;
const SETTLED_MS = 5_000;

type Message =
  | { readonly kind: 'connected' }
  | { readonly kind: 'renewed'; readonly took: readonly number[]; readonly movedMs: number }
  | { readonly kind: 'policy'; readonly sidecar: number; readonly round: number };

const directory = await mkdtemp(join(tmpdir(), 'renewal-storm-'));
const cluster = new SimulatedCluster();
fill(cluster, (SIDECARS + OBSERVERS) / 2);
const api = await cluster.serve();
const program = await bundledControlPlane();
const profiling = process.env.PROFILE === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${process.env.PROFILE}`];
const start = (port: number) => startClusterControlPlane(program, { apiPort: api.port, directory, port }, profiling);
let controlPlane = await start(0);
const { address } = controlPlane;
const children: ChildProcess[] = [];

function simulate(first: number, end: number, onMessage: (message: Message) => void): ChildProcess {
  const file = fileURLToPath(new URL('renewing-sidecars.ts', import.meta.url));
  const child = fork(file, [address, `${directory}/ca`, String(first), String(end)]);
  child.on('message', onMessage);
  children.push(child);
  return child;
}

/** Policies of the observers change one after the other; how long each took until its two sidecars had it. */
class Pushes {
  readonly #sentAtMs: number[] = [];
  readonly #waiting = new Map<number, number[]>();
  readonly tookMs: number[] = [];
  #timer: NodeJS.Timeout | undefined;

  begin(): void {
    this.tookMs.length = 0;
    this.#timer = setInterval(() => this.#push(), PUSH_INTERVAL_MS);
  }

  /** Resolves once all that was pushed has arrived. */
  async end(): Promise<void> {
    clearInterval(this.#timer);
    for (const untilMs = performance.now() + 60_000; performance.now() < untilMs; await wait(20)) {
      if ([...this.#waiting.values()].every((rounds) => rounds.length === 0)) return;
    }
    throw new Error('a push never arrived');
  }

  arrived(sidecar: number, round: number): void {
    const rounds = this.#waiting.get(sidecar) ?? [];
    // a later one of the same policy stands for those before
    for (const one of rounds.filter((waiting) => waiting <= round)) {
      this.tookMs.push(performance.now() - (this.#sentAtMs[one] ?? 0));
    }
    this.#waiting.set(
      sidecar,
      rounds.filter((waiting) => waiting > round),
    );
  }

  #push(): void {
    const round = this.#sentAtMs.push(performance.now()) - 1;
    const service = round % (OBSERVERS / 2);
    for (const sidecar of [2 * service, 2 * service + 1]) {
      this.#waiting.set(sidecar, [...(this.#waiting.get(sidecar) ?? []), round]);
    }
    cluster.put(POLICIES, policy(service, `/round-${round}`));
  }
}

const pushes = new Pushes();
let answered = Promise.withResolvers<Message>();
const observersConnected = Promise.withResolvers<void>();
simulate(0, OBSERVERS, (message) => {
  if (message.kind === 'policy') pushes.arrived(message.sidecar, message.round);
  else observersConnected.resolve();
});
const sidecars = simulate(OBSERVERS, OBSERVERS + SIDECARS, (message) => answered.resolve(message));
await Promise.all([observersConnected.promise, answered.promise]);
await wait(SETTLED_MS);

async function storm(measure: string): Promise<void> {
  const beforeMs = await controlPlane.processorMs();
  pushes.begin();
  answered = Promise.withResolvers<Message>();
  sidecars.send('renew');
  const answer = await answered.promise;
  await pushes.end();
  if (answer.kind !== 'renewed') throw new Error(`unexpected: ${answer.kind}`);
  const facts = {
    measure,
    sidecars: SIDECARS,
    processorSeconds: ((await controlPlane.processorMs()) - beforeMs) / 1_000,
    renewalMs: { p50: quantile(answer.took, 0.5), p99: quantile(answer.took, 0.99) },
    movedMs: Math.round(answer.movedMs),
    pushMs: { p50: quantile(pushes.tookMs, 0.5), p99: quantile(pushes.tookMs, 0.99), count: pushes.tookMs.length / 2 },
    ...(await controlPlane.memory()),
  };
  process.stdout.write(`${JSON.stringify(facts)}\n`);
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((left, right) => left - right);
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
}

/** What pushes cost by themselves: to be told from what renewals do. */
async function pushesAlone(): Promise<void> {
  const beforeMs = await controlPlane.processorMs();
  pushes.begin();
  await wait(PUSHES_ALONE_MS);
  await pushes.end();
  const count = pushes.tookMs.length / 2;
  const processorMsEach = Math.round(((await controlPlane.processorMs()) - beforeMs) / count);
  process.stdout.write(
    `${JSON.stringify({ measure: 'pushes alone', count, processorMsEach, p99: quantile(pushes.tookMs, 0.99) })}\n`,
  );
}

await pushesAlone();
await storm('all renew at once');
await wait(SETTLED_MS);
await controlPlane.stop();
controlPlane = await start(Number(address.split(':')[1]));
await storm('all renew as a control plane has started anew');
for (const child of children) child.kill();
await controlPlane.stop();
api.close();
await rm(directory, { recursive: true });
process.exit(0);
