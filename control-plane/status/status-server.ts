import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { CrowdLimits } from '../listener/connection-crowd.ts';
import { limitConnections } from '../listener/limit-connections.ts';
import { readBody } from '../webhook/read-body.ts';

/**
 * For an operator's browser, a scraper, and the kubelet, whose probes decide whether the control plane is let live: who
 * takes all places loses one to an address that has fewer.
 */
export const STATUS_CONNECTIONS: CrowdLimits = { total: 128, ofAddress: 32, whenFull: 'most' };
const REQUEST_TIMEOUT_MS = 5_000;
/** The time-out is looked after this often. */
const CHECK_INTERVAL_MS = 1_000;
/** Largest body of an action. */
const MAX_ACTION_BYTES = 16 * 1024;
const LOOPBACK_HOST = /^(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?$/i;

/** One page: its type and its text at the time of the request. */
export interface StatusPage {
  readonly contentType: string;
  readonly body: string;
  /** HTTP status; default 200. */
  readonly status?: number;
}

export type StatusPages = { readonly [path: string]: () => StatusPage | Promise<StatusPage> };

/** What is asked for by GET, and what is done by POST of a JSON text; by path. */
export type StatusActions = { readonly [path: string]: StatusAction };

export interface StatusAction {
  readonly show: () => Promise<StatusPage>;
  readonly act: (body: unknown) => Promise<StatusPage>;
}

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

/** Serves pages and actions on loopback, and to callers that name it so (against DNS rebinding). */
export function startStatusServer(
  port: number,
  pages: StatusPages,
  actions: StatusActions = {},
): Promise<StatusServer> {
  return servePages({ address: '127.0.0.1', port, field: 'console.port', isLoopbackOnly: true }, pages, actions);
}

/** Serves pages by GET, and actions by POST. Throws in one sentence when the port cannot be had. */
export async function servePages(
  listener: StatusListener,
  pages: StatusPages,
  actions: StatusActions = {},
): Promise<StatusServer> {
  const { address, port, field, isLoopbackOnly } = listener;
  const timeouts = {
    requestTimeout: REQUEST_TIMEOUT_MS,
    headersTimeout: REQUEST_TIMEOUT_MS,
    connectionsCheckingInterval: CHECK_INTERVAL_MS,
  };
  const server = createServer(timeouts, (request, response) => {
    if (isLoopbackOnly && !LOOPBACK_HOST.test(request.headers.host ?? '')) {
      send(response, 403, 'text/plain', 'the Host header must name loopback (127.0.0.1, localhost)\n');
      return;
    }
    const [path = ''] = (request.url ?? '').split('?');
    const action = Object.hasOwn(actions, path) ? actions[path] : undefined;
    if (action === undefined) void answer(request, response, path, pages);
    else void perform(request, response, action);
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

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
  pages: StatusPages,
): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD');
    send(response, 405, 'text/plain', 'GET only\n');
    return;
  }
  const page = Object.hasOwn(pages, path) ? await pages[path]?.() : undefined;
  if (page === undefined) send(response, 404, 'text/plain', `known: ${Object.keys(pages).join(' ')}\n`);
  else sendPage(response, page);
}

function send(response: ServerResponse, status: number, contentType: string, body: string): void {
  response.writeHead(status, { 'content-type': contentType, 'x-content-type-options': 'nosniff' });
  response.end(body);
}

/**
 * Shows by GET, acts by POST. A web page in the operator's browser can post to loopback too, yet neither with this content type (which a
 * browser asks about first, and is not let) nor without an Origin.
 */
async function perform(request: IncomingMessage, response: ServerResponse, action: StatusAction): Promise<void> {
  const { method, headers } = request;
  try {
    if (method === 'GET') {
      sendPage(response, await action.show());
    } else if (method !== 'POST') {
      response.setHeader('allow', 'GET, POST');
      send(response, 405, 'text/plain', 'GET and POST only\n');
    } else if (headers.origin !== undefined || (headers['sec-fetch-site'] ?? 'none') !== 'none') {
      send(response, 403, 'text/plain', 'not from a web page\n');
    } else if (headers['content-type'] !== 'application/json') {
      send(response, 415, 'text/plain', 'content-type application/json only\n');
    } else {
      const reading = await readBody(request, { availableBytes: MAX_ACTION_BYTES }, MAX_ACTION_BYTES);
      if (reading.kind === 'gone') return;
      if (reading.kind === 'refused') send(response, reading.status, 'text/plain', `${reading.message}\n`);
      else sendPage(response, await action.act(parsed(reading.text)));
    }
  } catch {
    send(response, 500, 'text/plain', 'it failed; the log of the control plane may say why\n');
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function sendPage(response: ServerResponse, page: StatusPage): void {
  send(response, page.status ?? 200, page.contentType, page.body);
}
