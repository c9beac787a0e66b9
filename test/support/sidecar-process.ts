import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import https from 'node:https';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { TLSSocket } from 'node:tls';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import { TestAuthority } from './certificates.ts';
import { freePorts } from './free-ports.ts';
import { until } from './inbound-sidecar.ts';

const lateral = fileURLToPath(new URL('../../bin/lateral.mjs', import.meta.url));

/** A sidecar `server` of namespace test in a process of its own, before an app. */
export interface SidecarProcess {
  readonly child: ChildProcess;
  readonly port: number;
  readonly directory: string;
  readonly authority: TestAuthority;
  /** What the `ready` line says. */
  readonly ready: { readonly [field: string]: unknown };
  /** Lines of stdout after it, and events of stderr. */
  readonly lines: readonly string[];
  readonly events: readonly string[];
  readonly exited: Promise<number | null>;
  /** Asks over a connection of its own, as service account `client`. Resolves to status, body, and the serial number met. */
  ask(path?: string): Promise<{ readonly status: number; readonly body: string; readonly serial: string }>;
  /** Asks over so many connections at once; resolves to the different statuses. */
  statuses(count: number, path?: string): Promise<number[]>;
  /** Writes a file of the sidecar's folder as a whole. */
  replace(name: string, text: string): Promise<void>;
  isReady(): Promise<boolean>;
  policyVersion(): Promise<string>;
  /** The sum of the series that begin so. */
  metric(prefix: string): Promise<number>;
}

/** `more`: lines of the configuration. `environment`: of the process. `files`: more of them in its folder. */
export async function startSidecarProcess(
  t: Test,
  appPort: number,
  policies: string,
  more: string,
  environment: NodeJS.ProcessEnv = {},
  files: { readonly [name: string]: string } = {},
): Promise<SidecarProcess> {
  const [port = 0, admin = 0, metrics = 0] = await freePorts(3);
  const directory = join(t.testdir(), String(port));
  await mkdir(join(directory, 'policies'), { recursive: true });
  const authority = new TestAuthority();
  const replace = async (name: string, text: string) => {
    await writeFile(join(directory, `${name}.new`), text, { mode: 0o600 });
    await rename(join(directory, `${name}.new`), join(directory, name));
  };
  const own = authority.leaf('spiffe://cluster.local/ns/test/sa/server');
  await replace('ca.pem', authority.rootPem);
  await replace('server.pem', own.cert);
  await replace('server.key', own.key);
  for (const [name, text] of Object.entries(files)) await replace(name, text);
  await replace('policies/policies.yaml', policies);
  await replace(
    'sidecar.yaml',
    `apiVersion: lateral.dev/v1alpha1
kind: SidecarConfig
workload: {name: server-1, namespace: test, serviceAccount: server, labels: {app: server}}
standalone: {policies: ./policies, certificate: server.pem, privateKey: server.key, trustBundle: ca.pem}
inbound: [{port: ${port}, app: "127.0.0.1:${appPort}"}]
admin: {port: ${admin}}
metrics: {port: ${metrics}}
${more}
`,
  );
  const child = spawn(process.execPath, [lateral, 'sidecar', '--config', join(directory, 'sidecar.yaml')], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  const exited = new Promise<number | null>((resolve) => child.on('exit', resolve));
  const events = gather(createInterface({ input: child.stderr }));
  const lines = gather(createInterface({ input: child.stdout }));
  await until(() => lines.length > 0 || child.exitCode !== null);
  const first = lines.shift();
  if (first === undefined) throw new Error(`the sidecar did not start: ${events.join('\n')}`);
  const { cert, key } = authority.leaf('spiffe://cluster.local/ns/test/sa/client');
  const ask: SidecarProcess['ask'] = (path = '/') =>
    new Promise((resolve, reject) => {
      const options = {
        port,
        path,
        cert,
        key,
        ca: authority.rootPem,
        agent: false,
        checkServerIdentity: () => undefined,
      };
      const request = https.request({ host: '127.0.0.1', ...options }, (response) => {
        const { socket, statusCode = 0 } = response;
        const serial = socket instanceof TLSSocket ? socket.getPeerCertificate().serialNumber : '';
        let body = '';
        response.on('data', (chunk) => {
          body += chunk;
        });
        response.on('error', reject);
        response.on('end', () => resolve({ status: statusCode, body, serial }));
      });
      request.on('error', reject);
      request.end();
    });
  const get = async (where: number, path: string) => fetch(`http://127.0.0.1:${where}${path}`);
  return {
    child,
    port,
    directory,
    authority,
    ready: JSON.parse(first),
    lines,
    events,
    exited,
    ask,
    statuses: async (count, path) => {
      const answers = await Promise.all(Array.from({ length: count }, () => ask(path)));
      return [...new Set(answers.map(({ status }) => status))];
    },
    replace,
    isReady: async () => (await get(metrics, '/readyz')).status === 200,
    policyVersion: async () => {
      const text = await (await get(admin, '/config')).text();
      return /"version": "(\w+)"/.exec(text)?.[1] ?? '';
    },
    metric: async (prefix) => {
      const text = await (await get(metrics, '/metrics')).text();
      const series = text.split('\n').filter((line) => line.startsWith(prefix));
      return series.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
    },
  };
}

function gather(from: Interface): string[] {
  const lines: string[] = [];
  from.on('line', (line) => lines.push(line));
  return lines;
}
