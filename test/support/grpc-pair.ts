import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Test } from 'tap';
import { readConfiguration } from '#policy/configuration/read-configuration.ts';
import { sidecarConfigurationSchema } from '#sidecar/configuration/sidecar-configuration.ts';
import { runSidecar } from '#sidecar/run-sidecar.ts';
import { TestAuthority } from './certificates.ts';
import { freePorts } from './free-ports.ts';
import { ALLOW_ALL, type LogLine, readLog } from './sidecar-pair.ts';

/** How a gRPC client reaches the app: by the outbound port of `client`, mutual TLS and the inbound port of `server`. */
export interface GrpcPair {
  /** HOST:PORT of the client's sidecar. */
  readonly address: string;
  /** What the calls name as :authority. */
  readonly authority: string;
  readonly outboundPort: number;
  /** Access log of one side, parsed; waits until `count` lines are there. */
  log(side: 'client' | 'server', count: number): Promise<LogLine[]>;
}

const AUTHORITY = 'server.test';

/** Two standalone sidecars of namespace test before a gRPC app on `appPort`. They end with the test. */
export async function startGrpcPair(
  t: Test,
  appPort: number,
  policies = ALLOW_ALL,
  files: { readonly [name: string]: Buffer } = {},
): Promise<GrpcPair> {
  const directory = t.testdir();
  const [inboundPort = 0, outboundPort = 0, ...own] = await freePorts(6);
  const authority = new TestAuthority();
  await mkdir(join(directory, 'policies'));
  await writeFile(join(directory, 'policies', 'policies.yaml'), `${meshService(inboundPort)}---\n${policies}`);
  for (const [name, bytes] of Object.entries(files)) await writeFile(join(directory, 'policies', name), bytes);
  await writeFile(join(directory, 'ca.pem'), authority.rootPem);
  const start = async (name: string, traffic: string) => {
    const { cert, key } = authority.leaf(`spiffe://cluster.local/ns/test/sa/${name}`);
    await writeFile(join(directory, `${name}.pem`), cert);
    await writeFile(join(directory, `${name}.key`), key, { mode: 0o600 });
    const text = `${traffic}\n${sidecarConfiguration(name, own.pop() ?? 0, own.pop() ?? 0)}`;
    const read = readConfiguration({ path: `${name}.yaml`, text }, 'SidecarConfig', sidecarConfigurationSchema);
    if (read.value === undefined) throw new Error(JSON.stringify(read.problems));
    const running = await runSidecar(read.value, directory, () => {});
    t.teardown(() => running.stop());
  };
  await start('server', `inbound: [{port: ${inboundPort}, app: "127.0.0.1:${appPort}", protocol: grpc}]`);
  await start('client', `outbound: {port: ${outboundPort}}`);
  return {
    address: `127.0.0.1:${outboundPort}`,
    authority: AUTHORITY,
    outboundPort,
    log: (side, count) => readLog(join(directory, `${side}.log`), count),
  };
}

function meshService(port: number): string {
  return `apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: server, namespace: test}
spec:
  hosts: [${AUTHORITY}]
  ports: [{port: 80, protocol: grpc}]
  endpoints: [{address: 127.0.0.1, port: ${port}, serviceAccount: server, labels: {app: server}}]
`;
}

function sidecarConfiguration(name: string, adminPort: number, metricsPort: number): string {
  return `apiVersion: lateral.dev/v1alpha1
kind: SidecarConfig
workload: {name: ${name}-1, namespace: test, serviceAccount: ${name}, labels: {app: ${name}}}
standalone: {policies: ./policies, certificate: ${name}.pem, privateKey: ${name}.key, trustBundle: ca.pem}
admin: {port: ${adminPort}}
metrics: {port: ${metricsPort}}
telemetry: {accessLog: ${name}.log}
`;
}
