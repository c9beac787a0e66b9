import { createServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import type { Test } from 'tap';
import { type WebSocket, WebSocketServer } from 'ws';

/** What the API server has, and whom it lets through. */
export interface FakeCluster {
  /** Objects by path of their collection, e.g. `/api/v1/namespaces/shop/pods`. */
  readonly lists: { readonly [path: string]: readonly object[] };
  /** Single objects by path. */
  readonly objects: { readonly [path: string]: object };
  /** Where port-forwards lead: `NAMESPACE/POD:PORT` to a port of this machine; anything else is refused by the pod. */
  readonly ports: { readonly [target: string]: number };
  /** Paths that the user may not see begin so. */
  readonly forbidden?: string;
}

export interface FakeApi {
  /** Text of a kubeconfig that leads here. */
  readonly kubeconfig: string;
  /** Paths that were asked for. */
  readonly asked: readonly string[];
  /** Breaks all port-forwards off. */
  breakForwards(): void;
}

/**
 * Speaks as an API server does where `lateral` asks one: lists in pages of two, watches in which nothing happens, objects, and port-forwards by
 * WebSocket (v4.channel.k8s.io: a byte for the channel, two of data and error each port, the port's number first).
 */
export async function startFakeApi(t: Test, cluster: FakeCluster): Promise<FakeApi> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const { status, body } = answer(request, cluster, asked);
    response.writeHead(status, { 'content-type': 'application/json' });
    if (status === 200 && isWatch(request))
      response.flushHeaders(); // and nothing changes
    else response.end(JSON.stringify(body));
  });
  const sockets = new WebSocketServer({
    noServer: true,
    handleProtocols: (offered) => (offered.has('v4.channel.k8s.io') ? 'v4.channel.k8s.io' : false),
  });
  server.on('upgrade', (request, socket, head) => {
    const url = new URL(request.url ?? '', 'http://api');
    asked.push(url.pathname);
    const [, namespace, pod] = /^\/api\/v1\/namespaces\/([^/]+)\/pods\/([^/]+)\/portforward$/.exec(url.pathname) ?? [];
    if (isForbidden(url.pathname, cluster)) {
      socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n');
      return;
    }
    const port = Number(url.searchParams.get('ports'));
    sockets.handleUpgrade(request, socket, head, (client) => {
      forward(client, port, cluster.ports[`${namespace}/${pod}:${port}`]);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const client of sockets.clients) client.terminate();
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo; // always so for a TCP server that listens
  const contexts = `contexts: [{name: test, context: {cluster: test, user: test}}, {name: empty, context: {cluster: none, user: test}}]`;
  return {
    kubeconfig: `apiVersion: v1
kind: Config
current-context: test
clusters: [{name: test, cluster: {server: "http://127.0.0.1:${port}", insecure-skip-tls-verify: true}}]
users: [{name: test, user: {token: secret}}]
${contexts}
`,
    asked,
    breakForwards: () => {
      for (const client of sockets.clients) client.terminate();
    },
  };
}

function answer(request: IncomingMessage, cluster: FakeCluster, asked: string[]): { status: number; body: object } {
  const url = new URL(request.url ?? '', 'http://api');
  asked.push(url.pathname);
  if (request.headers.authorization !== 'Bearer secret') return refusal(401, 'Unauthorized');
  if (isForbidden(url.pathname, cluster)) return refusal(403, `${url.pathname} is forbidden`);
  const object = cluster.objects[url.pathname];
  if (object !== undefined) return { status: 200, body: object };
  const list = cluster.lists[url.pathname];
  if (list === undefined) return refusal(404, 'the server could not find the requested resource');
  const begin = Number(url.searchParams.get('continue') ?? 0);
  const end = Math.min(list.length, begin + Math.min(2, Number(url.searchParams.get('limit'))));
  const metadata = { resourceVersion: '1', ...(end < list.length ? { continue: String(end) } : {}) };
  return { status: 200, body: { kind: 'List', apiVersion: 'v1', metadata, items: list.slice(begin, end) } };
}

function isWatch({ url = '' }: IncomingMessage): boolean {
  return new URL(url, 'http://api').searchParams.has('watch');
}

function isForbidden(path: string, { forbidden }: FakeCluster): boolean {
  return forbidden !== undefined && path.startsWith(forbidden);
}

function refusal(code: number, message: string) {
  return { status: code, body: { kind: 'Status', apiVersion: 'v1', status: 'Failure', message, code } };
}

function forward(client: WebSocket, port: number, target: number | undefined): void {
  const number = Buffer.alloc(2);
  number.writeUInt16LE(port);
  const send = (channel: number, bytes: Uint8Array) => client.send(Buffer.concat([Buffer.of(channel), bytes]));
  send(0, number);
  send(1, number);
  if (target === undefined) {
    send(1, Buffer.from(`error forwarding port ${port}: connection refused`));
    client.close();
    return;
  }
  const socket = connect(target, '127.0.0.1');
  socket.on('data', (bytes: Buffer) => send(0, bytes));
  socket.on('error', () => client.close());
  socket.on('close', () => client.close());
  client.on('message', (message) => {
    if (Buffer.isBuffer(message)) socket.write(message.subarray(1));
  });
  client.on('close', () => socket.destroy());
}
