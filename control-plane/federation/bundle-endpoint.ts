import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { spiffeBundleText } from '#policy/trust/spiffe-bundle.ts';
import type { EventLog } from '../event-log.ts';
import { createGateCounts, type GateCounts, type GateLimits, guardConnections } from '../listener/connection-gate.ts';

/** How often others are asked to look again. */
export const REFRESH_HINT_S = 300;
/** So long a new root is published before it signs: three refreshes at the least (SPIFFE Federation §4.1). */
export const ROOT_NOTICE_MS = 3 * REFRESH_HINT_S * 1_000;
const REQUEST_TIMEOUT_MS = 5_000;
const KEEP_ALIVE_TIMEOUT_MS = 5_000;
/** The time-outs above are looked after this often. */
const CHECK_INTERVAL_MS = 1_000;
/** Other control planes ask every few minutes, and nobody shows a certificate: who takes all places loses one. */
export const BUNDLE_GATE: GateLimits = {
  connections: { total: 128, ofAddress: 32, whenFull: 'most' },
  unproven: { total: 64, ofAddress: 16, whenFull: 'most' },
};
/** Mozilla's intermediate configuration, which SPIFFE Federation §5 asks for: TLS 1.2 with these, and 1.3. */
const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':');
const PATHS: ReadonlySet<string> = new Set(['/', '/bundle']);

/** PEM. */
export interface EndpointIdentity {
  readonly certificateChainPem: string;
  readonly privateKeyPem: string;
}

export interface BundleEndpointOptions {
  readonly listen: { readonly address: string; readonly port: number };
  /** What it proves itself with, asked for at each connection: an X509-SVID of the own trust domain. */
  readonly identity: () => EndpointIdentity;
  /** The roots of the own trust domain; DER. */
  readonly roots: () => readonly Buffer[];
  readonly sequenceOf: (roots: readonly Buffer[]) => number;
  readonly log: EventLog;
}

export interface BundleEndpoint {
  readonly port: number;
  readonly counts: { requests: number; readonly connections: GateCounts };
  close(): Promise<void>;
}

/**
 * Serves the mesh's own bundle over HTTPS, to anybody (SPIFFE Federation §5.2.2: profile https_spiffe, no client authentication).
 * Rejects in one sentence when the port cannot be had.
 */
export async function startBundleEndpoint(options: BundleEndpointOptions): Promise<BundleEndpoint> {
  const { listen, identity, log } = options;
  const counts = { requests: 0, connections: createGateCounts() };
  let served = identity();
  const server = createServer(
    {
      ...tlsOf(served),
      requestTimeout: REQUEST_TIMEOUT_MS,
      headersTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
      connectionsCheckingInterval: CHECK_INTERVAL_MS,
    },
    (request, response) => {
      counts.requests += 1;
      answer(request, response, options);
    },
  );
  // before the handshake of the same connection begins
  server.prependListener('connection', () => {
    const current = identity();
    if (current === served) return;
    served = current;
    server.setSecureContext(tlsOf(current));
  });
  const gate = guardConnections(server, {
    port: 'bundle',
    limits: BUNDLE_GATE,
    counts: counts.connections,
    log,
    isProven: () => true,
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const { address, port } = listen;
      reject(new Error(`cannot listen on ${address}:${port} (bundleEndpoint.port): ${error.message}`));
    });
    server.listen(listen.port, listen.address, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port, // always so for a TCP server that listens
    counts,
    close: () =>
      new Promise((resolve) => {
        gate.close();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function answer(request: IncomingMessage, response: ServerResponse, { roots, sequenceOf, log }: BundleEndpointOptions) {
  const refuse = (status: number, message: string) => {
    response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' });
    response.end(`${message}\n`);
  };
  const [path = ''] = (request.url ?? '').split('?', 1);
  if (!PATHS.has(path)) return refuse(404, 'known: /, /bundle');
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD');
    return refuse(405, 'GET only');
  }
  try {
    const present = roots();
    const body = spiffeBundleText(present, sequenceOf(present), REFRESH_HINT_S);
    response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-cache' });
    response.end(body);
  } catch (error) {
    log('bundle_endpoint_failed', { error: String(error) });
    refuse(500, 'the bundle cannot be told; see the log of the control plane');
  }
}

function tlsOf({ certificateChainPem, privateKeyPem }: EndpointIdentity) {
  return { cert: certificateChainPem, key: privateKeyPem, minVersion: 'TLSv1.2' as const, ciphers: CIPHERS };
}
