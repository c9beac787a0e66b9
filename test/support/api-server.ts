import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { parseAllDocuments } from 'yaml';
import { KubernetesClient } from '#control-plane/kubernetes/client/kubernetes-client.ts';
import { isRecord } from '#policy/schema/schema.ts';
import { freePorts } from './free-ports.ts';

const CACHE = process.env.MESH_CLUSTER_CACHE ?? join(homedir(), '.cache', 'mesh-cluster');
const ETCD = join(CACHE, 'bin', 'etcd');
const API_SERVER = join(CACHE, 'bin', 'kube-apiserver');
const CRDS = new URL('../../helm/lateral/files/crds/', import.meta.url);
const START_TIMEOUT_MS = 90_000;
const ADMIN_TOKEN = 'admin-of-this-test';

/** Why there is no API server to test with; undefined: there is. */
export const noApiServer =
  existsSync(ETCD) && existsSync(API_SERVER) ? undefined : `${CACHE}/bin has no kube-apiserver`;

/** A real API server with a store of its own, on loopback; no controllers, no nodes. */
export class ApiServer {
  readonly directory: string;
  readonly kubeconfig: string;
  #etcd: ChildProcess | undefined;
  #server: ChildProcess | undefined;
  #ports: readonly number[] = [];
  #client: KubernetesClient | undefined;

  constructor(directory: string) {
    this.directory = directory;
    this.kubeconfig = join(directory, 'kubeconfig');
  }

  get client(): KubernetesClient {
    if (this.#client === undefined) throw new Error('not started');
    return this.#client;
  }

  get etcdPort(): number {
    return this.#ports[0] ?? 0;
  }

  async start(): Promise<void> {
    await mkdir(join(this.directory, 'certificates'), { recursive: true });
    this.#ports = await freePorts(3);
    const [client, peer] = this.#ports;
    const key = join(this.directory, 'sa.key');
    execFileSync('openssl', ['genrsa', '-out', key, '2048'], { stdio: 'ignore' });
    await writeFile(join(this.directory, 'tokens'), `${ADMIN_TOKEN},admin,admin,system:masters\n`);
    this.#etcd = this.#spawn('etcd', ETCD, [
      ...['--data-dir', join(this.directory, 'etcd'), '--unsafe-no-fsync', '--log-level', 'error'],
      ...[
        '--listen-client-urls',
        `http://127.0.0.1:${client}`,
        '--advertise-client-urls',
        `http://127.0.0.1:${client}`,
      ],
      ...[
        '--listen-peer-urls',
        `http://127.0.0.1:${peer}`,
        '--initial-advertise-peer-urls',
        `http://127.0.0.1:${peer}`,
      ],
      ...['--initial-cluster', `default=http://127.0.0.1:${peer}`],
    ]);
    await this.startServer();
  }

  /** Starts the API server alone: again, after `stopServer`. */
  async startServer(): Promise<void> {
    const [etcd, , port] = this.#ports;
    const key = join(this.directory, 'sa.key');
    const certificates = join(this.directory, 'certificates');
    this.#server = this.#spawn('kube-apiserver', API_SERVER, [
      ...['--etcd-servers', `http://127.0.0.1:${etcd}`, '--secure-port', String(port), '--bind-address', '127.0.0.1'],
      ...['--cert-dir', certificates, '--token-auth-file', join(this.directory, 'tokens')],
      ...['--service-account-issuer', 'https://kubernetes.default.svc', '--service-account-key-file', key],
      ...['--service-account-signing-key-file', key, '--service-cluster-ip-range', '10.96.0.0/16'],
      ...['--authorization-mode', 'RBAC', '--disable-admission-plugins', 'ServiceAccount'],
    ]);
    const deadline = Date.now() + START_TIMEOUT_MS;
    for (;;) {
      await wait(300);
      if (this.#server.exitCode !== null) throw new Error(`kube-apiserver ended; see ${this.directory}`);
      if (Date.now() > deadline) throw new Error(`kube-apiserver is not ready within ${START_TIMEOUT_MS} ms`);
      try {
        const ca = await readFile(join(certificates, 'apiserver.crt'), 'utf8');
        this.#client?.close();
        this.#client = new KubernetesClient({
          url: new URL(`https://127.0.0.1:${port}`),
          options: async () => ({ ca, headers: { authorization: `Bearer ${ADMIN_TOKEN}` } }),
          forget() {},
        });
        await this.#client.request('/api/v1/namespaces/default');
        await this.#writeKubeconfig(ca);
        return;
      } catch {
        // not yet
      }
    }
  }

  async stopServer(): Promise<void> {
    await ended(this.#server);
  }

  async stop(): Promise<void> {
    this.#client?.close();
    await ended(this.#server);
    await ended(this.#etcd);
  }

  /** Creates what the documents of a YAML text say. */
  async apply(text: string): Promise<void> {
    for (const document of parseAllDocuments(text)) await this.create(document.toJS());
  }

  async create(object: unknown): Promise<unknown> {
    return this.client.request(collectionOf(object), { method: 'POST', body: object });
  }

  /** As soon as its kind is served. */
  async createWhenServed(object: unknown): Promise<void> {
    const deadline = Date.now() + START_TIMEOUT_MS;
    for (;;) {
      try {
        await this.create(object);
        return;
      } catch (error) {
        if (Date.now() > deadline) throw error;
        await wait(200);
      }
    }
  }

  /** Forgets all older versions in the store: a watch from one of them is answered with 410 Gone. */
  async compact(): Promise<void> {
    const post = async (path: string, body: unknown): Promise<unknown> => {
      const url = `http://127.0.0.1:${this.etcdPort}/v3/${path}`;
      return (await fetch(url, { method: 'POST', body: JSON.stringify(body) })).json();
    };
    const answer = await post('kv/range', { key: Buffer.from('/').toString('base64') });
    const header = isRecord(answer) && isRecord(answer.header) ? answer.header : {};
    await post('kv/compaction', { revision: header.revision, physical: true });
  }

  /** Merges into an object that is there. */
  async patch(path: string, body: unknown): Promise<unknown> {
    return this.client.request(path, { method: 'PATCH', body, contentType: 'application/merge-patch+json' });
  }

  /** The CRDs of the chart, served. */
  async installCrds(): Promise<void> {
    const { readdir } = await import('node:fs/promises');
    for (const file of await readdir(CRDS)) await this.apply(await readFile(new URL(file, CRDS), 'utf8'));
    const deadline = Date.now() + START_TIMEOUT_MS;
    for (;;) {
      const list = await this.client.request('/apis/lateral.dev/v1alpha1').catch(() => undefined);
      const count = isRecord(list) && Array.isArray(list.resources) ? list.resources.length : 0;
      if (count >= 12) return; // six kinds, each with its status
      if (Date.now() > deadline) throw new Error('the kinds of lateral.dev are not served');
      await wait(100);
    }
  }

  #spawn(name: string, program: string, args: readonly string[]): ChildProcess {
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'], cwd: this.directory });
    let tail = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      tail = (tail + chunk.toString()).slice(-4_000);
    });
    child.once('exit', (code) => {
      if (code !== 0 && code !== null) process.stderr.write(`${name} ended with ${code}: ${tail}\n`);
    });
    return child;
  }

  async #writeKubeconfig(ca: string): Promise<void> {
    const [, , port] = this.#ports;
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [
        {
          name: 'test',
          cluster: {
            server: `https://127.0.0.1:${port}`,
            'certificate-authority-data': Buffer.from(ca).toString('base64'),
          },
        },
      ],
      users: [{ name: 'admin', user: { token: ADMIN_TOKEN } }],
      contexts: [{ name: 'test', context: { cluster: 'test', user: 'admin' } }],
      'current-context': 'test',
    };
    await writeFile(this.kubeconfig, JSON.stringify(config));
  }
}

function collectionOf(object: unknown): string {
  if (!isRecord(object) || !isRecord(object.metadata)) throw new Error('not an object');
  const { apiVersion, kind } = object;
  const plural = PLURALS[String(kind)] ?? `${String(kind).toLowerCase()}s`;
  const root = String(apiVersion).includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const { namespace } = object.metadata;
  return typeof namespace === 'string' ? `${root}/namespaces/${namespace}/${plural}` : `${root}/${plural}`;
}

const PLURALS: { readonly [kind: string]: string } = {
  AuthorizationPolicy: 'authorizationpolicies',
  APIValidationPolicy: 'apivalidationpolicies',
  MeshDefaults: 'meshdefaults',
};

async function ended(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exit = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const force = setTimeout(() => child.kill('SIGKILL'), 5_000);
  await exit;
  clearTimeout(force);
}
