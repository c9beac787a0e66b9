import { createServer, type ServerResponse } from 'node:http';
import t from 'tap';
import type { AuthorityMaterial } from '#control-plane/authority/authority-material.ts';
import { KubernetesClient } from '#control-plane/kubernetes/client/kubernetes-client.ts';
import { Kubernetes } from '#control-plane/kubernetes/open-kubernetes.ts';
import { isRecord } from '#policy/schema/schema.ts';
import { listen, portOf } from '../../support/free-ports.ts';
import { eventually, MESH } from '../control-plane-fixture.ts';

/** A server of one Secret, as the API server gives and watches it. */
class SecretServer {
  data: unknown = {};
  version = 1;
  readonly watchers = new Set<ServerResponse>();
  readonly server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    response.writeHead(200, { 'content-type': 'application/json' });
    if (request.url?.includes('watch=1') === true) {
      this.watchers.add(response);
      response.write(this.#event('ADDED'));
      return;
    }
    if (request.method === 'PUT') {
      const body: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'));
      this.set(isRecord(body) ? body.data : {});
    }
    response.end(JSON.stringify(this.#secret));
  });

  set(data: unknown): void {
    this.data = data;
    this.version += 1;
    for (const watcher of this.watchers) watcher.write(this.#event('MODIFIED'));
  }

  get #secret() {
    const metadata = { name: 'lateral-ca', namespace: 'lateral-system', resourceVersion: String(this.version) };
    return { kind: 'Secret', metadata, data: this.data };
  }

  #event(type: string): string {
    return `${JSON.stringify({ type, object: this.#secret })}\n`;
  }
}

t.test(
  'an authority that became another between the start and the watch is told of, and one that did not is not',
  async (t) => {
    const secret = new SecretServer();
    await listen(secret.server);
    const ending = new AbortController();
    const replica = () => {
      const url = new URL(`http://127.0.0.1:${portOf(secret.server)}`);
      const client = new KubernetesClient({ url, options: async () => ({}), forget: () => {} });
      const kubernetes = new Kubernetes(client, { mesh: MESH, log: () => {}, signal: ending.signal });
      t.teardown(() => kubernetes.close());
      return kubernetes;
    };
    t.teardown(() => {
      ending.abort();
      secret.server.close();
      secret.server.closeAllConnections();
    });
    const first = replica();
    const before = await first.openAuthority('lateral-ca');
    secret.set({}); // rotated: the next to open it makes another
    const second = replica();
    const after = await second.openAuthority('lateral-ca');
    t.notOk(after.roots[0]?.equals(before.roots[0] ?? Buffer.alloc(0)));

    const told: AuthorityMaterial[] = [];
    first.keepAuthority('lateral-ca', (material) => told.push(material));
    await eventually('it is told', () => told.length === 1, 5_000);
    t.strictSame(told[0]?.roots, after.roots);

    const toldSecond: AuthorityMaterial[] = [];
    second.keepAuthority('lateral-ca', (material) => toldSecond.push(material));
    await eventually('both watch', () => secret.watchers.size === 2, 5_000);
    secret.set({ ...(isRecord(secret.data) ? secret.data : {}), note: '' });
    secret.set({});
    const third = await replica().openAuthority('lateral-ca');
    await eventually('the next change is told too', () => toldSecond.length > 0 && told.length > 1, 5_000);
    t.strictSame(toldSecond.at(-1)?.roots, third.roots);
    const roots = toldSecond.map((material) => material.roots[0]?.toString('base64'));
    t.equal(new Set(roots).size, roots.length, 'each once');
  },
);
