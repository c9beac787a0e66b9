// How a change in the cluster reaches 2,000 sidecars: 1,000 Services, two pods each, a policy each, from a server that
// speaks list and watch. The control plane runs from a bundle, as it does where it is installed.
// Run: node scripts/bench/cluster-scale.ts [SERVICES] [SIDECARS] [ROUNDS] [new|returning]. Prints one JSON line a measure.
// Sidecars that return list the Services that they have, all of other versions.
import { fork, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { controlPlaneEnvironment, missingControlPlaneFlags } from '../../bin/control-plane-flags.mjs';
import { portOf } from '../../test/support/free-ports.ts';
import { BUNDLING } from '../build.mjs';

const SERVICES = Number(process.argv[2] ?? 1_000);
const SIDECARS = Number(process.argv[3] ?? 2_000);
const NAMESPACES = 50;
const ROUNDS = Number(process.argv[4] ?? 5);

type Item = {
  metadata: { name: string; namespace?: string; resourceVersion: string; [key: string]: unknown };
  [key: string]: unknown;
};

/** The collections of a cluster, listed and watched as an API server would have it. */
class Cluster {
  readonly #collections = new Map<string, Map<string, Item>>();
  readonly #watchers = new Map<string, Set<ServerResponse>>();
  #version = 1;

  put(
    path: string,
    item: { metadata: { name: string; namespace?: string; [key: string]: unknown }; [key: string]: unknown },
  ): void {
    const collection = this.#collections.get(path) ?? new Map<string, Item>();
    this.#collections.set(path, collection);
    const key = `${item.metadata.namespace}/${item.metadata.name}`;
    const type = collection.has(key) ? 'MODIFIED' : 'ADDED';
    const object = {
      ...item,
      metadata: { ...item.metadata, resourceVersion: String(++this.#version), generation: this.#version },
    };
    collection.set(key, object);
    for (const watcher of this.#watchers.get(path) ?? []) watcher.write(`${JSON.stringify({ type, object })}\n`);
  }

  async serve(): Promise<{ port: number; close(): void }> {
    const server = createServer((request, response) => {
      const url = new URL(request.url ?? '/', 'http://cluster');
      const path = url.pathname;
      if (path === '/apis/lateral.dev/v1alpha1') return json(response, { resources: KINDS });
      if (path.startsWith('/apis/') && path.split('/').length === 4) return json(response, {}, 404);
      if (url.searchParams.has('watch')) {
        const watchers = this.#watchers.get(path) ?? new Set();
        this.#watchers.set(path, watchers.add(response));
        response.writeHead(200, { 'content-type': 'application/json' });
        response.flushHeaders();
        return undefined;
      }
      if (request.method !== 'GET') return json(response, {}, 404);
      const items = [...(this.#collections.get(path)?.values() ?? [])];
      return json(response, { metadata: { resourceVersion: String(this.#version) }, items });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return { port: portOf(server), close: () => server.closeAllConnections() };
  }
}

const KINDS = [
  { name: 'authorizationpolicies', kind: 'AuthorizationPolicy' },
  { name: 'meshdefaults', kind: 'MeshDefaults' },
];

function json(response: ServerResponse, body: unknown, status = 200): undefined {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

const besides = (file: string) => fileURLToPath(new URL(file, import.meta.url));
const POLICIES = '/apis/lateral.dev/v1alpha1/authorizationpolicies';
const SLICES = '/apis/discovery.k8s.io/v1/endpointslices';
const namespaceOf = (service: number) => `ns-${service % NAMESPACES}`;
const podsOf = (service: number) =>
  [0, 1].map((one) => ({ name: `s${service}-${one}`, address: `10.${service >> 8}.${service & 255}.${one + 1}` }));

function slice(service: number, ready = true) {
  return {
    metadata: {
      name: `s${service}-x`,
      namespace: namespaceOf(service),
      labels: { 'kubernetes.io/service-name': `s${service}` },
    },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080 }],
    endpoints: podsOf(service).map(({ name, address }, index) => ({
      addresses: [address],
      conditions: { ready: ready || index === 0 },
      targetRef: { kind: 'Pod', name },
    })),
  };
}

function policy(service: number, path: string) {
  return {
    metadata: { name: `s${service}`, namespace: namespaceOf(service) },
    spec: { selector: { matchLabels: { app: `s${service}` } }, rules: [{ to: [{ operation: { paths: [path] } }] }] },
  };
}

function fill(cluster: Cluster): void {
  for (let n = 0; n < NAMESPACES; n += 1) cluster.put('/api/v1/namespaces', { metadata: { name: `ns-${n}` } });
  for (let s = 0; s < SERVICES; s += 1) {
    const namespace = namespaceOf(s);
    for (const { name, address } of podsOf(s)) {
      cluster.put('/api/v1/pods', {
        metadata: {
          name,
          namespace,
          labels: { app: `s${s}`, 'pod-template-hash': 'abcdef1234', version: 'v1' },
          annotations: { 'lateral.dev/injected': '{"interception":"redirect","inbound":{}}' },
        },
        spec: { serviceAccountName: `s${s}` },
        status: { phase: 'Running', podIPs: [{ ip: address }] },
      });
    }
    cluster.put('/api/v1/services', {
      metadata: { name: `s${s}`, namespace },
      spec: {
        type: 'ClusterIP',
        clusterIPs: [`10.96.${s >> 8}.${s & 255}`],
        ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
      },
    });
    cluster.put(SLICES, slice(s));
    cluster.put(POLICIES, policy(s, '/first'));
  }
}

/** As the program is bundled: from its sources it would have the type stripper in memory besides. */
async function bundledControlPlane(): Promise<string> {
  const { build } = await import('esbuild');
  const outdir = besides('../../build/bench/cluster');
  await build({
    ...BUNDLING,
    absWorkingDir: besides('../..'),
    entryPoints: [besides('cluster-control-plane.ts')],
    outdir,
  });
  return join(outdir, 'cluster-control-plane.mjs');
}

const directory = await mkdtemp(join(tmpdir(), 'cluster-scale-'));
const cluster = new Cluster();
fill(cluster);
const api = await cluster.serve();
const startedAtMs = performance.now();
// As `lateral control-plane` runs; its memory after a collection tells garbage from what is kept.
const flags = [...missingControlPlaneFlags(Number(process.versions.node.split('.')[0]), []), '--expose-gc'];
const program = spawn(
  process.execPath,
  [...flags, await bundledControlPlane(), `http://127.0.0.1:${api.port}`, directory],
  {
    env: controlPlaneEnvironment(process.env),
    stdio: ['ignore', 'pipe', process.env.VERBOSE === undefined ? 'ignore' : 'inherit'],
  },
);
const ready = await new Promise<{ address: string; statusPort: number }>((resolve, reject) => {
  program.stdout.once('data', (line: Buffer) => resolve(JSON.parse(line.toString())));
  program.once('exit', () => reject(new Error('the control plane ended')));
});
const memoryOf = async (pid = 0) => {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const megabytes = (name: string) =>
    Math.round(Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) / 1024);
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8');
  const proportionalMb = Math.round(Number(/Pss:\s+(\d+)/.exec(rollup)?.[1] ?? 0) / 1024);
  return { residentMb: megabytes('VmRSS'), proportionalMb, peakMb: megabytes('VmHWM') };
};
const processorMs = async (pid = 0) => {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
};
const print = (measure: string, facts: object) => process.stdout.write(`${JSON.stringify({ measure, ...facts })}\n`);
print('ready', {
  services: SERVICES,
  ms: Math.round(performance.now() - startedAtMs),
  ...(await memoryOf(program.pid)),
});

const clients = fork(besides('cluster-sidecars.ts'), [
  ready.address,
  `${directory}/ca`,
  String(SERVICES),
  String(SIDECARS),
  process.argv[5] ?? 'new',
]);
const told: ((count: number) => void)[] = [];
let updates = 0;
clients.once('exit', () => program.kill('SIGTERM'));
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
const processorAtStartMs = await processorMs(program.pid);
await updatesReach(SIDECARS);
print('connected', {
  sidecars: SIDECARS,
  ms: Math.round(performance.now() - connectingAtMs),
  processorMs: (await processorMs(program.pid)) - processorAtStartMs,
  ...(await memoryOf(program.pid)),
});
await wait(6_000);
print('idle', await memoryOf(program.pid));

async function measure(name: string, change: (round: number) => void, reached: number): Promise<void> {
  for (let round = 0; round < ROUNDS; round += 1) {
    const before = updates;
    const processorBefore = await processorMs(program.pid);
    const atMs = performance.now();
    change(round);
    const doneMs = await updatesReach(before + reached);
    await wait(500);
    print(name, {
      ms: Math.round(doneMs - atMs),
      updates: updates - before,
      processorMs: (await processorMs(program.pid)) - processorBefore,
      ...(await memoryOf(program.pid)),
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
print('end', await memoryOf(program.pid));
program.kill('SIGUSR2');
await wait(2_000);
print('collected', await memoryOf(program.pid));
clients.kill();
program.kill('SIGTERM');
await new Promise((resolve) => program.once('exit', resolve));
api.close();
await rm(directory, { recursive: true });
process.exit(0);
