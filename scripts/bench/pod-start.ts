// How much later a Pod is Ready for being part of the mesh, on a cluster where the chart is installed. Run:
// node scripts/bench/pod-start.ts [ROUNDS] [IMAGE]. KUBECONFIG names the cluster; IMAGE has node at /usr/local/bin/node.
// In turn: a Pod as it is; the same behind two containers that do nothing, in the places of Lateral's (what the kubelet itself
// takes for two more containers, which it looks at once a second); the same in the mesh. Prints a table.
import { setTimeout as wait } from 'node:timers/promises';
import { openApiConnection } from '#control-plane/kubernetes/client/api-connection.ts';
import { KubernetesClient } from '#control-plane/kubernetes/client/kubernetes-client.ts';
import { Reflector } from '#control-plane/kubernetes/watch/reflector.ts';
import { isRecord } from '#policy/schema/schema.ts';

const ROUNDS = Number(process.argv[2] ?? 10);
const IMAGE = process.argv[3] ?? 'localhost/shop:dev';
const NAMESPACE = 'pod-start';
const READY_TIMEOUT_MS = 60_000;
/** Rounds begin at another time within the second of the kubelet's looks. */
const STEP_MS = 1_370;

const node = (name: string, program: string, more: object = {}) => ({
  name,
  image: IMAGE,
  command: ['/usr/local/bin/node', '-e', program],
  ...more,
});
const STAY = "process.on('SIGTERM', () => process.exit(0)); setInterval(() => {}, 1e6)";
const IDLE_CONTAINERS = [node('idle-sidecar', STAY, { restartPolicy: 'Always' }), node('idle-init', '0')];

const KINDS = {
  'as it is': { label: 'false', initContainers: [] },
  'behind two containers that do nothing': { label: 'false', initContainers: IDLE_CONTAINERS },
  'in the mesh': { label: 'true', initContainers: [] },
} as const;
type Kind = keyof typeof KINDS;
const kinds = Object.keys(KINDS) as Kind[];

const client = new KubernetesClient(await openApiConnection());
const waiting = new Map<string, () => void>();
const pods = new Reflector({
  client,
  path: `/api/v1/namespaces/${NAMESPACE}/pods`,
  name: 'pods',
  log: () => {},
  map: (pod) => isReady(pod),
  onChange(key, ready) {
    if (ready === true) waiting.get(key)?.();
  },
});

await client.request('/api/v1/namespaces', {
  method: 'POST',
  body: { metadata: { name: NAMESPACE, labels: { 'lateral.dev/inject': 'enabled' } } },
});
try {
  pods.start();
  await pods.synced;
  await startOf('as it is', 'first'); // the node has the image now, and the Service account its token
  const times = new Map<Kind, number[]>(kinds.map((kind) => [kind, []]));
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const kind of kinds) times.get(kind)?.push(await startOf(kind, `${round}`));
    await wait((round * STEP_MS) % 1_000);
    process.stderr.write(`round ${round + 1} of ${ROUNDS}\n`);
  }
  print(times);
} finally {
  await client.request(`/api/v1/namespaces/${NAMESPACE}`, { method: 'DELETE' });
  await pods.close();
  client.close();
}

/** Milliseconds from the request that makes the Pod to the word that it is Ready. The Pod is gone afterwards. */
async function startOf(kind: Kind, suffix: string): Promise<number> {
  const { label, initContainers } = KINDS[kind];
  const name = `p${kinds.indexOf(kind)}-${suffix}`;
  const path = `/api/v1/namespaces/${NAMESPACE}/pods`;
  const ready = Promise.withResolvers<void>();
  waiting.set(`${NAMESPACE}/${name}`, ready.resolve);
  const timeout = setTimeout(() => ready.reject(new Error(`${name} is not Ready`)), READY_TIMEOUT_MS);
  const startedAt = performance.now();
  await client.request(path, {
    method: 'POST',
    body: {
      metadata: { name, labels: { 'lateral.dev/inject': label } },
      spec: { terminationGracePeriodSeconds: 1, containers: [node('app', STAY)], initContainers },
    },
  });
  await ready.promise;
  const tookMs = performance.now() - startedAt;
  clearTimeout(timeout);
  await client.request(`${path}/${name}`, { method: 'DELETE', query: { gracePeriodSeconds: '0' } });
  return tookMs;
}

function isReady({ status }: { readonly [key: string]: unknown }): boolean {
  const conditions = isRecord(status) && Array.isArray(status.conditions) ? status.conditions : [];
  return conditions.some((one) => isRecord(one) && one.type === 'Ready' && one.status === 'True');
}

function print(times: ReadonlyMap<Kind, readonly number[]>): void {
  const base = median(times.get('as it is') ?? []);
  process.stdout.write(`seconds to Ready${' '.repeat(27)}least  median    most  more than as it is\n`);
  for (const [kind, all] of times) {
    const figures = [Math.min(...all), median(all), Math.max(...all), median(all) - base];
    const columns = figures.map((ms) => (ms / 1_000).toFixed(2).padStart(8));
    process.stdout.write(`${kind.padEnd(40)}${columns.join('')}\n`);
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}
