import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Test } from 'tap';
import { readConfiguration } from '#policy/configuration/read-configuration.ts';
import { sidecarConfigurationSchema } from '#sidecar/configuration/sidecar-configuration.ts';
import { type RunningSidecar, runSidecar } from '#sidecar/run-sidecar.ts';
import { TestAuthority } from './certificates.ts';
import { freePorts } from './free-ports.ts';

/** Two standalone sidecars, `client` and `server` of namespace test, before an app. */
export interface SidecarPair {
  readonly directory: string;
  readonly policies: string;
  readonly authority: TestAuthority;
  readonly outboundPort: number;
  readonly inboundPort: number;
  readonly clientAdminPort: number;
  readonly serverAdminPort: number;
  readonly serverMetricsPort: number;
  readonly client: RunningSidecar;
  readonly server: RunningSidecar;
  /** Access log of one side, parsed; waits until `count` lines are there. */
  log(side: 'client' | 'server', count: number): Promise<LogLine[]>;
}

export type LogLine = { readonly [field: string]: unknown };

export const ALLOW_ALL = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: allow-all, namespace: test}
spec: {rules: [{}]}
`;

/** `policies`: YAML beside the MeshService of `server`, which has the host server.test. */
export async function startPair(
  t: Test,
  appPort: number,
  policies = ALLOW_ALL,
  files: { [name: string]: string } = {},
): Promise<SidecarPair> {
  const directory = t.testdir();
  const [
    inboundPort = 0,
    outboundPort = 0,
    clientAdminPort = 0,
    serverAdminPort = 0,
    clientMetrics = 0,
    serverMetricsPort = 0,
  ] = await freePorts(6);
  const authority = new TestAuthority();
  const folder = join(directory, 'policies');
  await mkdir(folder);
  const service = `apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: server, namespace: test}
spec:
  hosts: [server, server.test]
  ports: [{port: 80, protocol: http}]
  endpoints: [{address: 127.0.0.1, port: ${inboundPort}, serviceAccount: server, labels: {app: server}}]
`;
  await writeFile(join(folder, 'services.yaml'), service);
  await writeFile(join(folder, 'policies.yaml'), policies);
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  await writeFile(join(directory, 'ca.pem'), authority.rootPem);

  const start = async (name: 'client' | 'server', admin: number, metrics: number, traffic: string) => {
    const { cert, key } = authority.leaf(`spiffe://cluster.local/ns/test/sa/${name}`);
    await writeFile(join(directory, `${name}.pem`), cert);
    await writeFile(join(directory, `${name}.key`), key, { mode: 0o600 });
    const text = `apiVersion: lateral.dev/v1alpha1
kind: SidecarConfig
workload: {name: ${name}-1, namespace: test, serviceAccount: ${name}, labels: {app: ${name}}}
trustDomain: cluster.local
standalone: {policies: ./policies, certificate: ${name}.pem, privateKey: ${name}.key, trustBundle: ca.pem}
${traffic}
admin: {port: ${admin}}
metrics: {port: ${metrics}}
telemetry: {accessLog: ${name}.log}
`;
    const { value, problems } = readConfiguration(
      { path: `${name}.yaml`, text },
      'SidecarConfig',
      sidecarConfigurationSchema,
    );
    if (value === undefined) throw new Error(JSON.stringify(problems));
    const running = await runSidecar(value, directory, () => {});
    t.teardown(() => running.stop());
    return running;
  };
  const server = await start(
    'server',
    serverAdminPort,
    serverMetricsPort,
    `inbound: [{port: ${inboundPort}, app: "127.0.0.1:${appPort}"}]`,
  );
  const client = await start('client', clientAdminPort, clientMetrics, `outbound: {port: ${outboundPort}}`);
  return {
    directory,
    policies: folder,
    authority,
    outboundPort,
    inboundPort,
    clientAdminPort,
    serverAdminPort,
    serverMetricsPort,
    client,
    server,
    log: (side, count) => readLog(join(directory, `${side}.log`), count),
  };
}

const LOG_TIMEOUT_MS = 3_000;

/** Lines of an access log, when there are as many. */
export async function readLog(path: string, count: number): Promise<LogLine[]> {
  const deadline = Date.now() + LOG_TIMEOUT_MS;
  for (;;) {
    const lines = (await readFile(path, 'utf8')).split('\n').filter((line) => line !== '');
    if (lines.length >= count || Date.now() > deadline) return lines.map((line) => JSON.parse(line));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
