import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Pool } from 'undici';
import { freePorts } from '../../test/support/free-ports.ts';
import { ordersApi } from './orders.ts';
import type { Processes } from './processes.ts';

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

/** A callee's sidecar in front of an app that reads what it is sent, and callers that speak mutual TLS to it. */
export interface OrdersSidecar {
  readonly pid: number | undefined;
  readonly pool: Pool;
}

/** The path that all send orders to. */
export const ORDERS_PATH = '/orders-0/7?page=2';

/** Where sidecars run. */
export interface OrdersGround {
  readonly processes: Processes;
  /** Folder of `makeCertificates`. */
  readonly certificates: string;
  /** For what else they read and write. */
  readonly directory: string;
  /** Of the callers, to each sidecar. */
  readonly connections: number;
}

/** Starts what `run` measures, and ends it. */
export async function withOrdersApp(
  ground: OrdersGround,
  run: (start: (name: 'without' | 'held') => Promise<OrdersSidecar>) => Promise<void>,
): Promise<void> {
  const earlier = ground.processes.all;
  const app = createServer((request, response) => request.resume().on('end', () => response.end('{}')));
  const pools: Pool[] = [];
  try {
    await once(app.listen(0, '127.0.0.1'), 'listening');
    const bound = app.address();
    if (bound === null || typeof bound === 'string') throw new Error('the app has no port');
    await run(async (name) => {
      const sidecar = await startSidecar(ground, name, bound.port);
      pools.push(sidecar.pool);
      return sidecar;
    });
    for (const pool of pools) await pool.destroy();
  } finally {
    app.closeAllConnections();
    app.close();
    await ground.processes.stop(ground.processes.all.filter((child) => !earlier.includes(child)));
  }
}

async function startSidecar(ground: OrdersGround, name: 'without' | 'held', appPort: number): Promise<OrdersSidecar> {
  const { directory, certificates, processes, connections } = ground;
  const files = (...names: readonly string[]) => names.map((file) => join(certificates, file));
  const [certificate, privateKey, trustBundle] = files('server.pem', 'server.key', 'ca.pem');
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
standalone: {policies: ${name}, certificate: ${certificate}, privateKey: ${privateKey}, trustBundle: ${trustBundle}}
inbound: [{port: ${port}, app: "127.0.0.1:${appPort}", protocol: http}]
admin: {port: ${admin}}
metrics: {port: ${metrics}}
telemetry: {accessLog: ${name}.log}
`,
  );
  const { pid } = await processes.serve(process.execPath, [lateral, 'sidecar', '--config', path], port);
  const [cert, key, ca] = await Promise.all(files('client.pem', 'client.key', 'ca.pem').map((file) => readFile(file)));
  const connect = { cert, key, ca, checkServerIdentity: () => undefined };
  return { pid, pool: new Pool(`https://127.0.0.1:${port}`, { connections, connect }) };
}
