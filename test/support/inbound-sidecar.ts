import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import tls from 'node:tls';
import type { Test } from 'tap';
import { readConfiguration } from '#policy/configuration/read-configuration.ts';
import { sidecarConfigurationSchema } from '#sidecar/configuration/sidecar-configuration.ts';
import { type RunningSidecar, runSidecar } from '#sidecar/run-sidecar.ts';
import { TestAuthority } from './certificates.ts';
import { freePorts } from './free-ports.ts';
import type { LogLine } from './sidecar-pair.ts';

/** A sidecar `server` of namespace test before an app, and callers that are none of ours. */
export interface InboundSidecar {
  readonly port: number;
  readonly metricsPort: number;
  readonly adminPort: number;
  readonly directory: string;
  readonly authority: TestAuthority;
  readonly running: RunningSidecar;
  /** Opens mutual TLS as a service account of namespace test, half-close allowed; resolves when it is established. */
  connectTls(serviceAccount: string, options?: tls.ConnectionOptions): Promise<tls.TLSSocket>;
  connectPlain(): Promise<net.Socket>;
  /** Puts other policies in force; resolves when they are. */
  setPolicies(text: string): Promise<void>;
  /** The access log, parsed; waits until `count` lines are there. */
  log(count: number): Promise<LogLine[]>;
  metrics(): Promise<string>;
}

export const ALLOW_CLIENT = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: allow-client, namespace: test}
spec: {rules: [{from: [{source: {principals: [cluster.local/ns/test/sa/client]}}]}]}
`;

export const ALLOW_ANYBODY = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: allow-anybody, namespace: test}
spec: {rules: [{}]}
`;

export const PERMISSIVE = `---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: permissive, namespace: test}
spec: {mtls: {mode: PERMISSIVE}}
`;

export const DISABLE = PERMISSIVE.replaceAll('permissive', 'disable').replace('PERMISSIVE', 'DISABLE');

export async function startInbound(
  t: Test,
  appPort: number,
  protocol: 'auto' | 'http' | 'grpc' | 'tcp',
  policies: string,
  { otlpPort = 0 }: { readonly otlpPort?: number } = {},
): Promise<InboundSidecar> {
  const [port = 0, admin = 0, metricsPort = 0] = await freePorts(3);
  const directory = join(t.testdir(), String(port));
  await mkdir(directory);
  const authority = new TestAuthority();
  await mkdir(join(directory, 'policies'));
  const policyFile = join(directory, 'policies', 'policies.yaml');
  await writeFile(policyFile, policies);
  await writeFile(join(directory, 'ca.pem'), authority.rootPem);
  const own = authority.leaf('spiffe://cluster.local/ns/test/sa/server');
  await writeFile(join(directory, 'server.pem'), own.cert);
  await writeFile(join(directory, 'server.key'), own.key, { mode: 0o600 });
  const text = `apiVersion: lateral.dev/v1alpha1
kind: SidecarConfig
workload: {name: server-1, namespace: test, serviceAccount: server, labels: {app: server}}
standalone: {policies: ./policies, certificate: server.pem, privateKey: server.key, trustBundle: ca.pem}
inbound: [{port: ${port}, app: "127.0.0.1:${appPort}", protocol: ${protocol}}]
admin: {port: ${admin}}
metrics: {port: ${metricsPort}}
telemetry: {accessLog: server.log${otlpPort === 0 ? '' : `, otlp: "http://127.0.0.1:${otlpPort}"`}}
`;
  const { value, problems } = readConfiguration({ path: 'a.yaml', text }, 'SidecarConfig', sidecarConfigurationSchema);
  if (value === undefined) throw new Error(JSON.stringify(problems));
  const running = await runSidecar(value, directory, () => {});
  t.teardown(() => running.stop());
  const leaves = new Map<string, ReturnType<TestAuthority['leaf']>>();
  const versionInForce = async () => {
    const config: unknown = await (await fetch(`http://127.0.0.1:${admin}/config`)).json();
    return JSON.stringify(config).match(/"policy":\{"version":"(\w+)"/)?.[1];
  };
  return {
    port,
    metricsPort,
    adminPort: admin,
    directory,
    authority,
    running,
    connectTls(serviceAccount, options = {}) {
      const leaf = leaves.get(serviceAccount) ?? authority.leaf(`spiffe://cluster.local/ns/test/sa/${serviceAccount}`);
      leaves.set(serviceAccount, leaf);
      const given: tls.ConnectionOptions & { allowHalfOpen: boolean } = {
        port,
        host: '127.0.0.1',
        ca: authority.rootPem,
        checkServerIdentity: () => undefined,
        allowHalfOpen: true,
        ...leaf,
        ...options,
      };
      return established(tls.connect(given), 'secureConnect');
    },
    connectPlain: () => established(net.connect({ port, host: '127.0.0.1', allowHalfOpen: true }), 'connect'),
    async setPolicies(policyText) {
      const before = await versionInForce();
      await writeFile(`${policyFile}.new`, policyText);
      await rename(`${policyFile}.new`, policyFile);
      await until(async () => (await versionInForce()) !== before);
    },
    async log(count) {
      const lines = async () => (await readFile(join(directory, 'server.log'), 'utf8')).split('\n').filter(Boolean);
      await until(async () => (await lines()).length >= count);
      return (await lines()).map((line) => JSON.parse(line));
    },
    metrics: async () => (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text(),
  };
}

function established<S extends net.Socket>(socket: S, event: string): Promise<S> {
  return new Promise((resolve, reject) => {
    socket.on('error', reject);
    socket.once(event, () => resolve(socket));
  });
}

const UNTIL_TIMEOUT_MS = 8_000;

/** Asks until it is so; returns all the same when it takes too long, so that the assertion behind it tells. */
export async function until(isSo: () => boolean | Promise<boolean>, timeoutMs = UNTIL_TIMEOUT_MS): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await isSo()) && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** All that comes until the other side ends or breaks off. */
export function readAll(socket: net.Socket): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
    });
    socket.on('error', () => {});
    socket.on('end', () => resolve(text));
    socket.on('close', () => resolve(text));
  });
}
