import { createServer } from 'node:http';
import type { Test } from 'tap';
import { KubernetesClient } from '#control-plane/kubernetes/client/kubernetes-client.ts';
import { isRecord } from '#policy/schema/schema.ts';
import { listen, portOf } from '../../support/free-ports.ts';

type Stored = { metadata: { resourceVersion: string }; [field: string]: unknown };

/** What an API server does with objects of a name: GET and PUT, versions that grow, 404 and 409. */
export interface SmallApiServer {
  readonly client: KubernetesClient;
  /** Every PUT that was taken, by path. */
  readonly writes: string[];
  get(path: string): Stored;
  /** As somebody else would change it. */
  set(path: string, object: object): void;
  remove(path: string): void;
}

export async function startSmallApiServer(t: Test): Promise<SmallApiServer> {
  const objects = new Map<string, Stored>();
  const writes: string[] = [];
  let version = 0;
  const put = (path: string, object: object) => {
    const { metadata, ...rest } = { metadata: {}, ...object };
    objects.set(path, { ...rest, metadata: { ...metadata, resourceVersion: String(++version) } });
  };
  const server = createServer(async (request, response) => {
    const path = request.url ?? '';
    const answer = (status: number, body: unknown) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(body));
    };
    const found = objects.get(path);
    if (found === undefined) return answer(404, { kind: 'Status', reason: 'NotFound', message: 'not found' });
    if (request.method === 'GET') return answer(200, found);
    let text = '';
    for await (const chunk of request) text += chunk;
    const object: unknown = JSON.parse(text);
    const metadata = isRecord(object) && isRecord(object['metadata']) ? object['metadata'] : {};
    if (!isRecord(object) || metadata['resourceVersion'] !== objects.get(path)?.metadata.resourceVersion) {
      return answer(409, { kind: 'Status', reason: 'Conflict', message: 'the object has been modified' });
    }
    put(path, object);
    writes.push(path);
    answer(200, objects.get(path));
  });
  await listen(server);
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  const url = new URL(`http://127.0.0.1:${portOf(server)}`);
  return {
    client: new KubernetesClient({ url, options: async () => ({}), forget: () => {} }),
    writes,
    get: (path) => {
      const found = objects.get(path);
      if (found === undefined) throw new Error(`no ${path}`);
      return found;
    },
    set: put,
    remove: (path) => void objects.delete(path),
  };
}
