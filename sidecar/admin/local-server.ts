import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Writable } from 'node:stream';
import { LocalConnections } from './local-connections.ts';

/** Answers of one small HTTP server: `METHOD /path` to a function. */
export type Routes = { readonly [route: string]: Route };

/** Undefined: no answer; the connection is closed. */
type Route = (
  query: URLSearchParams,
  request: http.IncomingMessage,
) => LocalAnswer | undefined | Promise<LocalAnswer | undefined>;

export interface LocalAnswer {
  readonly status: number;
  readonly contentType: string;
  /** A function writes the body bit by bit, and ends it. */
  readonly body: string | ((out: Writable) => void);
}

/** Requests to these servers are small; anything slower or larger is not a friend. */
const MAX_LOCAL_HEADER_BYTES = 8_192;
/** From the connection, or the first byte of a further request, to its end. */
const LOCAL_REQUEST_TIMEOUT_MS = 5_000;
/** How often that is looked at. */
const LOCAL_CHECK_INTERVAL_MS = 1_000;

export interface LocalServer {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * Opens a server for operators and probes. With `loopbackOnly` the Host header must name loopback: a web
 * page in somebody's browser that resolves its own name to 127.0.0.1 gets nothing. No address: all of the machine's.
 */
export async function openLocalServer(
  where: { readonly port: number; readonly address: string | undefined; readonly loopbackOnly: boolean },
  routes: Routes,
): Promise<LocalServer> {
  const connections = new LocalConnections();
  const server = http.createServer(
    {
      headersTimeout: LOCAL_REQUEST_TIMEOUT_MS,
      requestTimeout: LOCAL_REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: LOCAL_CHECK_INTERVAL_MS,
      maxHeaderSize: MAX_LOCAL_HEADER_BYTES,
    },
    (request, response) => {
      const { socket } = request;
      connections.requestBegan(socket);
      response.once('close', () => connections.requestEnded(socket));
      void answer(request, where.loopbackOnly, routes).then((answered) => {
        if (answered === undefined) return void request.socket.destroy();
        const { status, contentType, body } = answered;
        response.writeHead(status, { 'content-type': contentType, 'cache-control': 'no-store' });
        if (typeof body === 'string') response.end(body);
        else if (request.method === 'HEAD') response.end();
        else body(response);
      });
    },
  );
  server.on('connection', (socket) => connections.admit(socket));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(where.port, where.address, resolve);
  });
  return {
    port: portOf(server.address()),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  request: http.IncomingMessage,
  loopbackOnly: boolean,
  routes: Routes,
): Promise<LocalAnswer | undefined> {
  if (loopbackOnly && !isLoopbackHost(request.headers.host ?? '')) {
    return text(403, 'this server answers to loopback names only');
  }
  // a browser says where a request comes from: no web page has business here
  const site = request.headers['sec-fetch-site'];
  if (request.headers.origin !== undefined || (site !== undefined && site !== 'none')) {
    return text(403, 'this server does not answer to web pages');
  }
  const [path = '', query = ''] = (request.url ?? '').split('?', 2);
  const route = routes[`${request.method} ${path}`] ?? (request.method === 'HEAD' ? routes[`GET ${path}`] : undefined);
  try {
    if (route !== undefined) return await route(new URLSearchParams(query), request);
  } catch (error) {
    return text(500, error instanceof Error ? error.message : String(error));
  }
  const isKnown = Object.keys(routes).some((known) => known.endsWith(` ${path}`));
  return isKnown ? text(405, 'method not allowed') : text(404, `known: ${Object.keys(routes).join(', ')}`);
}

export function text(status: number, message: string): LocalAnswer {
  return { status, contentType: 'text/plain; charset=utf-8', body: `${message}\n` };
}

export function json(status: number, value: unknown): LocalAnswer {
  return { status, contentType: 'application/json', body: `${JSON.stringify(value, null, 2)}\n` };
}

function isLoopbackHost(host: string): boolean {
  return /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/i.test(host);
}

function portOf(address: AddressInfo | string | null): number {
  return typeof address === 'object' && address !== null ? address.port : 0;
}
