import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { CrowdLimits } from '../listener/connection-crowd.ts';
import { limitConnections } from '../listener/limit-connections.ts';

/**
 * For an operator's browser, a scraper, and the kubelet, whose probes decide whether the control plane is let live: who
 * takes all places loses one to an address that has fewer.
 */
export const STATUS_CONNECTIONS: CrowdLimits = { total: 128, ofAddress: 32, whenFull: 'most' };
const REQUEST_TIMEOUT_MS = 5_000;
/** The time-out is looked after this often. */
const CHECK_INTERVAL_MS = 1_000;
const LOOPBACK_HOST = /^(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?$/i;

/** One page: its type and its text at the time of the request. */
export interface StatusPage {
  readonly contentType: string;
  readonly body: string;
  /** HTTP status; default 200. */
  readonly status?: number;
}

export type StatusPages = { readonly [path: string]: () => StatusPage };

export interface StatusServer {
  readonly port: number;
  close(): Promise<void>;
}

/** Where pages are served. */
export interface StatusListener {
  readonly address: string;
  readonly port: number;
  /** The field of the configuration that says so. */
  readonly field: string;
  /** The Host header must name loopback: a web page elsewhere cannot read them through a name it points here. */
  readonly isLoopbackOnly: boolean;
}

/** Serves pages by GET on loopback, and to callers that name it so (against DNS rebinding). */
export function startStatusServer(port: number, pages: StatusPages): Promise<StatusServer> {
  return servePages({ address: '127.0.0.1', port, field: 'console.port', isLoopbackOnly: true }, pages);
}

/** Serves pages by GET. Throws in one sentence when the port cannot be had. */
export async function servePages(listener: StatusListener, pages: StatusPages): Promise<StatusServer> {
  const { address, port, field, isLoopbackOnly } = listener;
  const timeouts = {
    requestTimeout: REQUEST_TIMEOUT_MS,
    headersTimeout: REQUEST_TIMEOUT_MS,
    connectionsCheckingInterval: CHECK_INTERVAL_MS,
  };
  const server = createServer(timeouts, (request, response) => {
    answer(request, response, pages, isLoopbackOnly);
  });
  limitConnections(server, STATUS_CONNECTIONS);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'EADDRINUSE' ? 'another program already listens there' : error.message;
      reject(new Error(`cannot listen on ${address}:${port} (${field}): ${why}`));
    });
    server.listen(port, address, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port, // always so for a TCP server that listens
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function answer(request: IncomingMessage, response: ServerResponse, pages: StatusPages, isLoopbackOnly: boolean): void {
  if (isLoopbackOnly && !LOOPBACK_HOST.test(request.headers.host ?? '')) {
    send(response, 403, 'text/plain', 'the Host header must name loopback (127.0.0.1, localhost)\n');
    return;
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD');
    send(response, 405, 'text/plain', 'GET only\n');
    return;
  }
  const [path = ''] = (request.url ?? '').split('?');
  const page = Object.hasOwn(pages, path) ? pages[path]?.() : undefined;
  if (page === undefined) send(response, 404, 'text/plain', `known: ${Object.keys(pages).join(' ')}\n`);
  else send(response, page.status ?? 200, page.contentType, page.body);
}

function send(response: ServerResponse, status: number, contentType: string, body: string): void {
  response.writeHead(status, { 'content-type': contentType, 'x-content-type-options': 'nosniff' });
  response.end(body);
}
