import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Pool } from 'undici';
import { freePorts } from '../../test/support/free-ports.ts';
import { makeCertificates } from './certificates.ts';
import { median, ordersApi, ordersOf } from './orders.ts';
import { cpuSeconds } from './process-figures.ts';
import { Processes } from './processes.ts';

/**
 * `node scripts/bench/validated-hop.ts`: processor time of a callee's sidecar a request, without and with a policy that holds each body
 * against its schema, of two sidecars that take turns in one run. The caller speaks mutual TLS to them, the app reads the body.
 */
const BODIES = [1_000, 64_000] as const;
const CONNECTIONS = 8;
const ROUNDS = 7;
const ROUND_MS = 4_000;
/** What issue and contract allow validation to add, in microseconds. */
const LIMITS_US: { readonly [bytes: number]: number } = { 1000: 15, 64000: 700 };
const PATH = '/orders-0/7?page=2';

const POLICIES = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: caller, namespace: bench}
spec: {rules: [{from: [{source: {principals: [cluster.local/ns/bench/sa/client]}}]}]}
`;
const VALIDATION = `---
apiVersion: lateral.dev/v1alpha1
kind: APISchema
metadata: {name: orders, namespace: bench}
spec: {openapi: {file: orders.json}}
---
apiVersion: lateral.dev/v1alpha1
kind: APIValidationPolicy
metadata: {name: orders, namespace: bench}
spec: {schemaRefs: [orders], mode: Enforce}
`;

const lateral = fileURLToPath(new URL('../../bin/lateral.mjs', import.meta.url));
const directory = await mkdtemp(join(tmpdir(), 'validated-hop-'));
const processes = new Processes(directory);
const app = createServer((request, response) => request.resume().on('end', () => response.end('{}')));
try {
  await makeCertificates(directory);
  await once(app.listen(0, '127.0.0.1'), 'listening');
  const bound = app.address();
  if (bound === null || typeof bound === 'string') throw new Error('the app has no port');
  const [without, held] = [await startSidecar('without', bound.port), await startSidecar('held', bound.port)];
  for (const bytes of BODIES) {
    const body = ordersOf(bytes);
    for (const sidecar of [without, held]) await microseconds(sidecar, body);
    const figures: { readonly without: number[]; readonly held: number[] } = { without: [], held: [] };
    for (let round = 0; round < ROUNDS; round++) {
      figures.without.push(await microseconds(without, body));
      figures.held.push(await microseconds(held, body));
    }
    const added = figures.held.map((one, round) => one - (figures.without[round] ?? Number.NaN));
    process.stdout.write(
      `body of ${String(body.length).padStart(5)} bytes: ${median(figures.without).toFixed(0)} us without, ${median(figures.held).toFixed(0)} us held against its schema; ` +
        `added ${median(added).toFixed(1)} us (${added.map((one) => one.toFixed(0)).join(', ')}), the limit is ${LIMITS_US[bytes]}\n`,
    );
  }
  for (const { pool } of [without, held]) await pool.destroy();
} finally {
  app.closeAllConnections();
  app.close();
  await processes.stop();
  await rm(directory, { recursive: true });
}

interface Sidecar {
  readonly pid: number | undefined;
  readonly pool: Pool;
}

async function startSidecar(name: 'without' | 'held', appPort: number): Promise<Sidecar> {
  const [port = 0, admin = 0, metrics = 0] = await freePorts(3);
  const policies = join(directory, name);
  await mkdir(policies);
  await writeFile(join(policies, 'orders.json'), JSON.stringify(ordersApi(100)));
  await writeFile(join(policies, 'policies.yaml'), POLICIES + (name === 'held' ? VALIDATION : ''));
  const path = join(directory, `${name}.yaml`);
  await writeFile(
    path,
    `apiVersion: lateral.dev/v1alpha1
kind: SidecarConfig
workload: {name: server, namespace: bench, serviceAccount: server, labels: {app: server}}
standalone: {policies: ${name}, certificate: server.pem, privateKey: server.key, trustBundle: ca.pem}
inbound: [{port: ${port}, app: "127.0.0.1:${appPort}", protocol: http}]
admin: {port: ${admin}}
metrics: {port: ${metrics}}
telemetry: {accessLog: ${name}.log}
`,
  );
  const { pid } = await processes.serve(process.execPath, [lateral, 'sidecar', '--config', path], port);
  const [cert, key, ca] = await Promise.all(
    ['client.pem', 'client.key', 'ca.pem'].map((file) => readFile(join(directory, file))),
  );
  const connect = { cert, key, ca, checkServerIdentity: () => undefined };
  return { pid, pool: new Pool(`https://127.0.0.1:${port}`, { connections: CONNECTIONS, connect }) };
}

/** Processor time a request; the bodies are sent by as many callers as there are connections. */
async function microseconds({ pid, pool }: Sidecar, body: Buffer): Promise<number> {
  const before = cpuSeconds(pid);
  const endsAtMs = Date.now() + ROUND_MS;
  let count = 0;
  const headers = { 'content-type': 'application/json' };
  const caller = async () => {
    while (Date.now() < endsAtMs) {
      const response = await pool.request({ path: PATH, method: 'POST', headers, body });
      await response.body.dump();
      if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}`);
      count += 1;
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, caller));
  return ((cpuSeconds(pid) - before) / count) * 1e6;
}
