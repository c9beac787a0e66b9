import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import { issueOperatorToken } from '#control-plane/tokens/issue-token.ts';
import { ControlPlaneFixture, eventually } from '../../control-plane/control-plane-fixture.ts';
import { freePorts } from '../../support/free-ports.ts';
import { startApp } from '../../support/start-app.ts';

const lateral = fileURLToPath(new URL('../../../bin/lateral.mjs', import.meta.url));

/** Orders may be read by the shop's web, its private part by nobody. */
const POLICIES = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  selector: {matchLabels: {app: orders}}
  rules: [{from: [{source: {principals: ["cluster.local/ns/shop/sa/web"]}}]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: private, namespace: shop}
spec:
  selector: {matchLabels: {app: orders}}
  action: DENY
  rules: [{to: [{operation: {paths: [/private]}}]}]
`;

export interface SmallMesh {
  readonly fixture: ControlPlaneFixture;
  /** For `--control-plane`. */
  readonly address: string;
  readonly tokenFile: string;
  readonly trustBundle: string;
  readonly statusPort: number;
  /** Where orders takes calls, by mutual TLS. */
  readonly inbound: number;
  readonly admin: { readonly web: number; readonly orders: number };
  /** As web calls orders; resolves with the status and the decision ID of a refusal. */
  call(path: string): Promise<{ readonly status: number; readonly decisionId: string }>;
}

/** Environments of the two sidecars, beside the test's own. */
export interface SmallMeshOptions {
  readonly web?: NodeJS.ProcessEnv;
  readonly orders?: NodeJS.ProcessEnv;
}

/** A control plane, and the workloads web and orders behind sidecars that are processes of their own. */
export async function startSmallMesh(t: Test, environments: SmallMeshOptions = {}): Promise<SmallMesh> {
  const fixture = new ControlPlaneFixture(t.testdir());
  const app = await startApp(t, (_request, response) => response.end('an order'));
  const [inbound = 0, outbound = 0, webAdmin = 0, ordersAdmin = 0, webMetrics = 0, ordersMetrics = 0] =
    await freePorts(6);
  await fixture.writePolicy('policies.yaml', POLICIES);
  await fixture.writePolicy(
    'services.yaml',
    `apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: orders, namespace: shop}
spec:
  hosts: [orders, orders.shop]
  ports: [{port: 80, protocol: http}]
  endpoints: [{address: 127.0.0.1, port: ${inbound}, serviceAccount: orders, labels: {app: orders}}]
`,
  );
  const running = await fixture.start();
  t.teardown(() => fixture.stop());
  const trustBundle = join(fixture.directory, 'state', 'ca', 'root-cert.pem');
  const tokenFile = join(fixture.directory, 'operator.token');
  await writeFile(tokenFile, `${await issueOperatorToken(fixture.configuration, undefined)}\n`);
  const listen = `inbound: [{port: ${inbound}, app: "127.0.0.1:${app.port}"}]`;
  await startSidecar(
    t,
    fixture,
    'orders',
    `${listen}\nadmin: {port: ${ordersAdmin}}\nmetrics: {port: ${ordersMetrics}}`,
    environments.orders,
  );
  await startSidecar(
    t,
    fixture,
    'web',
    `outbound: {port: ${outbound}}\nadmin: {port: ${webAdmin}}\nmetrics: {port: ${webMetrics}}`,
    environments.web,
  );
  await eventually('both sidecars have acknowledged', async () => {
    const page = await (await fixture.status('/proxies')).text();
    return page.split('"state": "current"').length === 3;
  });
  return {
    fixture,
    address: running.address,
    tokenFile,
    trustBundle,
    statusPort: running.statusPort ?? 0,
    inbound,
    admin: { web: webAdmin, orders: ordersAdmin },
    call: (path) =>
      new Promise((resolve, reject) => {
        const headers = { host: 'orders.shop' };
        const request = httpRequest({ host: '127.0.0.1', port: outbound, path, headers, agent: false }, (response) => {
          response.resume();
          const decisionId = String(response.headers['lateral-decision'] ?? '');
          response.on('end', () => resolve({ status: response.statusCode ?? 0, decisionId }));
        });
        request.on('error', reject);
        request.end();
      }),
  };
}

async function startSidecar(
  t: Test,
  fixture: ControlPlaneFixture,
  name: string,
  more: string,
  environment: NodeJS.ProcessEnv = {},
): Promise<void> {
  const token = await fixture.token({ serviceAccount: name });
  const file = join(fixture.directory, `${name}.yaml`);
  await writeFile(
    file,
    `apiVersion: lateral.dev/v1alpha1
kind: SidecarConfig
workload: {name: ${name}-1, namespace: shop, serviceAccount: ${name}, labels: {app: ${name}}}
controlPlane: {address: "127.0.0.1:${fixture.port}", trustBundle: state/ca/root-cert.pem, tokenFile: ${token}}
${more}
`,
  );
  const child = spawn(process.execPath, [lateral, 'sidecar', '--config', file], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  const events: string[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => events.push(line));
  const ready = Promise.withResolvers<void>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (line.includes('"event":"ready"')) ready.resolve();
  });
  child.on('exit', () => ready.reject(new Error(`the sidecar ${name} ended: ${events.join('\n')}`)));
  await ready.promise;
}
