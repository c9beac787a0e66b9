import { createServer, type ServerResponse } from 'node:http';
import { KubernetesClient } from '#control-plane/kubernetes/client/kubernetes-client.ts';
import { listen, portOf } from '../../support/free-ports.ts';

type Fields = { readonly [field: string]: unknown };

/** An API server that lists what it is given and never tells of a change; ConfigMaps are answered as a test says. */
export class FakeApiServer {
  /** By path of the collection. */
  readonly lists = new Map<string, readonly Fields[]>();
  /** What a request for ConfigMaps gets, by its field selector; default: an empty list. */
  configMaps: (selector: string, response: ServerResponse) => boolean = () => false;
  readonly #server = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://api');
    const answer = (status: number, body: unknown) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(body));
    };
    if (url.pathname === '/apis/lateral.dev/v1alpha1') {
      answer(200, { resources: [{ name: 'apischemas', kind: 'APISchema' }] });
    } else if (/^\/apis\/[^/]+\/v1(beta1)?$/.test(url.pathname)) {
      answer(404, {});
    } else if (url.searchParams.has('watch')) {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.flushHeaders();
    } else {
      const selector = url.searchParams.get('fieldSelector') ?? '';
      if (url.pathname.endsWith('/configmaps') && this.configMaps(selector, response)) return;
      answer(200, { metadata: { resourceVersion: '1' }, items: this.lists.get(url.pathname) ?? [] });
    }
  });

  async start(): Promise<KubernetesClient> {
    await listen(this.#server);
    const url = new URL(`http://127.0.0.1:${portOf(this.#server)}`);
    return new KubernetesClient({ url, options: async () => ({}), forget: () => {} });
  }

  stop(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}
