// How a change in the cluster reaches 2,000 sidecars: 1,000 Services, two pods each, a policy each, from a server that
// speaks list and watch. The control plane runs from a bundle, as it does where it is installed.
// Run: node scripts/bench/cluster-scale.ts [SERVICES] [SIDECARS] [ROUNDS] [new|returning]. Prints one JSON line a measure.
// Sidecars that return list the Services that they have, all of other versions.
import { fork } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { fill, POLICIES, policy, SimulatedCluster, SLICES, slice } from './simulated-cluster.ts';
import { bundledControlPlane, startClusterControlPlane } from './start-cluster-control-plane.ts';

const SERVICES = Number(process.argv[2] ?? 1_000);
const SIDECARS = Number(process.argv[3] ?? 2_000);
const ROUNDS = Number(process.argv[4] ?? 5);
const besides = (file: string) => fileURLToPath(new URL(file, import.meta.url));

const directory = await mkdtemp(join(tmpdir(), 'cluster-scale-'));
const cluster = new SimulatedCluster();
fill(cluster, SERVICES);
const api = await cluster.serve();
const startedAtMs = performance.now();
// Its memory after a collection tells garbage from what is kept.
const program = await startClusterControlPlane(await bundledControlPlane(), { apiPort: api.port, directory }, [
  '--expose-gc',
]);
const print = (measure: string, facts: object) => process.stdout.write(`${JSON.stringify({ measure, ...facts })}\n`);
print('ready', {
  services: SERVICES,
  ms: Math.round(performance.now() - startedAtMs),
  ...(await program.memory()),
});

const clients = fork(besides('cluster-sidecars.ts'), [
  program.address,
  `${directory}/ca`,
  String(SERVICES),
  String(SIDECARS),
  process.argv[5] ?? 'new',
]);
const told: ((count: number) => void)[] = [];
let updates = 0;
clients.once('exit', () => program.signal('SIGTERM'));
clients.on('message', (count: number) => {
  updates = count;
  for (const tell of told) tell(count);
});
const updatesReach = (wanted: number, timeoutMs = 180_000) =>
  new Promise<number>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${updates} of ${wanted} updates`)), timeoutMs);
    const tell = (count: number) => {
      if (count < wanted) return;
      clearTimeout(timer);
      told.splice(told.indexOf(tell), 1);
      resolve(performance.now());
    };
    told.push(tell);
    tell(updates);
  });
const connectingAtMs = performance.now();
const processorAtStartMs = await program.processorMs();
await updatesReach(SIDECARS);
print('connected', {
  sidecars: SIDECARS,
  ms: Math.round(performance.now() - connectingAtMs),
  processorMs: (await program.processorMs()) - processorAtStartMs,
  ...(await program.memory()),
});
await wait(6_000);
print('idle', await program.memory());

async function measure(name: string, change: (round: number) => void, reached: number): Promise<void> {
  for (let round = 0; round < ROUNDS; round += 1) {
    const before = updates;
    const processorBefore = await program.processorMs();
    const atMs = performance.now();
    change(round);
    const doneMs = await updatesReach(before + reached);
    await wait(500);
    print(name, {
      ms: Math.round(doneMs - atMs),
      updates: updates - before,
      processorMs: (await program.processorMs()) - processorBefore,
      ...(await program.memory()),
    });
  }
}
const perService = SIDECARS / SERVICES;
await measure('a policy of one workload', (round) => cluster.put(POLICIES, policy(7, `/round-${round}`)), perService);
await measure(
  'policies of 100 sidecars',
  (round) => {
    for (let s = 100; s < 100 + 100 / perService; s += 1) cluster.put(POLICIES, policy(s, `/round-${round}`));
  },
  100,
);
await measure('an endpoint, which concerns all', (round) => cluster.put(SLICES, slice(3, round % 2 === 1)), SIDECARS);
print('end', await program.memory());
program.signal('SIGUSR2');
await wait(2_000);
print('collected', await program.memory());
clients.kill();
await program.stop();
api.close();
await rm(directory, { recursive: true });
process.exit(0);
