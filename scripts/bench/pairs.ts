import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TestAuthority } from '../../test/support/certificates.ts';
import { freePorts } from '../../test/support/free-ports.ts';

const lateral = fileURLToPath(new URL('../../bin/lateral.mjs', import.meta.url));
const RULES = 10;
const START_TIMEOUT_MS = 20_000;

/** Two proxies with mutual TLS between them, before the app; absent processes: the app itself. */
export interface Pair {
  readonly name: string;
  readonly port: number;
  readonly client: ChildProcess | undefined;
  readonly server: ChildProcess | undefined;
}

/** What every pair is given: a folder, certificates of one authority, the app's port. */
export interface Ground {
  readonly directory: string;
  readonly appPort: number;
  readonly start: (program: string, args: readonly string[]) => ChildProcess;
}

/** The path of a program, or undefined where it is not installed. */
export function installed(program: string): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter);
  return folders.map((folder) => join(folder, program)).find((path) => existsSync(path));
}

export async function makeCertificates(directory: string): Promise<void> {
  const authority = new TestAuthority();
  await writeFile(join(directory, 'ca.pem'), authority.rootPem);
  for (const name of ['client', 'server']) {
    const { cert, key } = authority.leaf(`spiffe://cluster.local/ns/bench/sa/${name}`);
    await writeFile(join(directory, `${name}.pem`), cert);
    await writeFile(join(directory, `${name}.key`), key, { mode: 0o600 });
  }
}

/** Two standalone sidecars with ten rules, an access log to a file, no collector. */
export async function lateralPair({ directory, appPort, start }: Ground): Promise<Pair> {
  const [port = 0, inbound = 0, a = 0, b = 0, c = 0, d = 0] = await freePorts(6);
  await mkdir(join(directory, 'policies'));
  const rules = Array.from({ length: RULES }, (_, index) => {
    const path = index === RULES - 1 ? '/*' : `/none${index}/*`;
    return `    - from: [{source: {principals: [cluster.local/ns/bench/sa/client]}}]\n      to: [{operation: {methods: [GET], paths: ["${path}"]}}]\n`;
  });
  await writeFile(
    join(directory, 'policies', 'mesh.yaml'),
    `apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: server, namespace: bench}
spec:
  hosts: ["127.0.0.1:${port}"]
  ports: [{port: ${port}, protocol: http}]
  endpoints: [{address: 127.0.0.1, port: ${inbound}, serviceAccount: server}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ten-rules, namespace: bench}
spec:
  selector: {matchLabels: {app: server}}
  rules:
${rules.join('')}`,
  );
  const configure = (name: string, traffic: string, admin: number, metrics: number) =>
    writeFile(
      join(directory, `lateral-${name}.yaml`),
      `apiVersion: lateral.dev/v1alpha1
kind: SidecarConfig
workload: {name: ${name}, namespace: bench, serviceAccount: ${name}, labels: {app: ${name}}}
standalone: {policies: policies, certificate: ${name}.pem, privateKey: ${name}.key, trustBundle: ca.pem}
${traffic}
admin: {port: ${admin}}
metrics: {port: ${metrics}}
telemetry: {sampleRatio: 0.01, accessLog: lateral-${name}.log}
`,
    );
  await configure('server', `inbound: [{port: ${inbound}, app: "127.0.0.1:${appPort}", protocol: http}]`, a, b);
  await configure('client', `outbound: {port: ${port}}`, c, d);
  const run = (name: string) =>
    start(process.execPath, [lateral, 'sidecar', '--config', join(directory, `lateral-${name}.yaml`)]);
  const server = run('server');
  await answers(inbound);
  const client = run('client');
  await answers(port);
  return { name: 'lateral', port, client, server };
}

/** nginx with mutual TLS and an access log; it checks no policy. */
export async function nginxPair({ directory, appPort, start }: Ground, program: string): Promise<Pair> {
  const [port = 0, inbound = 0] = await freePorts(2);
  const configuration = (
    name: string,
    upstream: number,
    listener: string,
    proxy: string,
  ) => `worker_processes 1; daemon off; pid ${directory}/${name}.pid; error_log ${directory}/${name}.err;
events { worker_connections 8192; }
http { access_log ${directory}/${name}.log combined buffer=64k; keepalive_requests 100000000; keepalive_timeout 600s;
  upstream next { server 127.0.0.1:${upstream}; keepalive 256; keepalive_requests 100000000; }
  server { ${listener} location / { ${proxy} proxy_http_version 1.1; proxy_set_header Connection ""; } } }
`;
  const tls = `ssl_certificate ${directory}/server.pem; ssl_certificate_key ${directory}/server.key; ssl_client_certificate ${directory}/ca.pem; ssl_verify_client on; ssl_protocols TLSv1.3;`;
  const proxyTls = `proxy_pass https://next; proxy_ssl_certificate ${directory}/client.pem; proxy_ssl_certificate_key ${directory}/client.key; proxy_ssl_protocols TLSv1.3;`;
  await writeFile(
    join(directory, 'nginx-in.conf'),
    configuration('nginx-in', appPort, `listen 127.0.0.1:${inbound} ssl; ${tls}`, 'proxy_pass http://next;'),
  );
  await writeFile(
    join(directory, 'nginx-out.conf'),
    configuration('nginx-out', inbound, `listen 127.0.0.1:${port};`, proxyTls),
  );
  const server = start(program, ['-c', join(directory, 'nginx-in.conf')]);
  await answers(inbound);
  const client = start(program, ['-c', join(directory, 'nginx-out.conf')]);
  await answers(port);
  return { name: 'nginx', port, client, server };
}

/** Resolves once somebody listens. */
export async function answers(port: number): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  for (;;) {
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1');
      socket.once('connect', () => {
        socket.destroy();
        resolve(true);
      });
      socket.once('error', () => resolve(false));
    });
    if (isOpen) return;
    if (Date.now() > deadline) throw new Error(`nothing listens on ${port} after ${START_TIMEOUT_MS} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
