import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { EventLog } from '../event-log.ts';
import type { JsonObject } from '../injection/json-object.ts';
import { type GateLimits, guardConnections } from '../listener/connection-gate.ts';
import {
  type AdmissionAnswer,
  type AdmissionRequest,
  admissionResponse,
  readAdmissionReview,
} from './admission-review.ts';
import { type BodyBudget, readBody } from './read-body.ts';
import { INJECTION_BUDGET, ReviewQueue, TooManyReviews, VALIDATION_BUDGET } from './review-queue.ts';
import type { WebhookMetrics } from './webhook-metrics.ts';

/** etcd takes 1.5 MiB of an object. The review of a pod that is made holds it once, that of a resource also its former state. */
export const MAX_REVIEW_BYTES = { '/inject': 2 * 1024 * 1024, '/validate': 3.25 * 1024 * 1024 };
/** Bodies that may be in memory at once. */
const MAX_BUFFERED_BYTES = 64 * 1024 * 1024;
/** The API server waits 10 s by default, and 30 s at most. */
const REQUEST_TIMEOUT_MS = 10_000;
const HEADERS_TIMEOUT_MS = 5_000;
const KEEP_ALIVE_TIMEOUT_MS = 90_000;
/** The time-outs above are looked after this often. */
const CHECK_INTERVAL_MS = 2_000;
/**
 * The API server cannot be told from others by its address, and a NetworkPolicy cannot name it: whoever takes all places loses
 * one to an address that has fewer. An API server opens a connection for each review that it asks for at a time, 200 at the most
 * unless it is told otherwise (`--max-mutating-requests-inflight`).
 */
export const WEBHOOK_GATE: GateLimits = {
  connections: { total: 768, ofAddress: 384, whenFull: 'most' },
  unproven: { total: 512, ofAddress: 256, whenFull: 'most' },
};

/** What is refused by these was well asked, at a bad time. */
const OVERLOADED: ReadonlySet<number> = new Set([429, 503]);

/** PEM. */
export interface ServerCertificate {
  readonly certificate: string;
  readonly privateKey: string;
}

/** `address`: who asks. */
export type Review = (request: AdmissionRequest, address: string) => AdmissionAnswer | Promise<AdmissionAnswer>;

/** The two webhooks by their paths. */
export interface Reviews {
  readonly '/inject': Review;
  readonly '/validate': Review;
}

export interface WebhookServer {
  readonly port: number;
  /** New connections get this certificate; those that are open go on. */
  renew(certificate: ServerCertificate): void;
  /** Takes no new connections, and lets reviews under way end. */
  close(): Promise<void>;
}

export interface WebhookServerOptions {
  readonly listen: { readonly address: string | undefined; readonly port: number };
  readonly certificate: ServerCertificate;
  readonly reviews: Reviews;
  readonly metrics: WebhookMetrics;
  readonly log: EventLog;
}

/** Serves both webhooks over TLS 1.3. A fault of our own is answered as a refusal: a pod must not slip by without its sidecar. */
export async function startWebhookServer(options: WebhookServerOptions): Promise<WebhookServer> {
  const bounds: Bounds = {
    bodies: { availableBytes: MAX_BUFFERED_BYTES },
    queues: { '/inject': new ReviewQueue(INJECTION_BUDGET), '/validate': new ReviewQueue(VALIDATION_BUDGET) },
  };
  const server = createServer(
    {
      ...tlsOf(options.certificate),
      requestTimeout: REQUEST_TIMEOUT_MS,
      headersTimeout: HEADERS_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
      connectionsCheckingInterval: CHECK_INTERVAL_MS,
    },
    (request, response) => {
      void answer(request, response, options, bounds);
    },
  );
  const { metrics, log } = options;
  // Callers show no certificate here: what is bounded is the handshake.
  const gate = guardConnections(server, {
    port: 'webhook',
    limits: WEBHOOK_GATE,
    counts: metrics.connections,
    log,
    isProven: () => true,
  });
  const { address, port } = options.listen;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(new Error(`cannot listen on ${address ?? 'any address'}, port ${port} (webhook.port): ${error.message}`));
    });
    server.listen(port, address, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port, // always so for a TCP server that listens
    renew: (certificate) => server.setSecureContext(tlsOf(certificate)),
    close: () =>
      new Promise((resolve) => {
        gate.close();
        server.close(() => resolve());
        server.closeIdleConnections();
        setTimeout(() => server.closeAllConnections(), REQUEST_TIMEOUT_MS).unref();
      }),
  };
}

function tlsOf({ certificate, privateKey }: ServerCertificate) {
  return { cert: certificate, key: privateKey, minVersion: 'TLSv1.3' as const };
}

/** What all requests of a server share. */
interface Bounds {
  readonly bodies: BodyBudget;
  /** Of the main thread's time. One each: a pod never waits behind resources. */
  readonly queues: { readonly [K in keyof Reviews]: ReviewQueue };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { reviews, metrics, log }: WebhookServerOptions,
  { bodies, queues }: Bounds,
): Promise<void> {
  const refuse = (status: number, message: string) => {
    if (OVERLOADED.has(status)) metrics.overloaded += 1;
    else metrics.malformed += 1;
    response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', connection: 'close' });
    response.end(`${message}\n`);
  };
  const [path] = (request.url ?? '').split('?', 1);
  if (path !== '/inject' && path !== '/validate') return refuse(404, 'known: /inject, /validate');
  if (request.method !== 'POST') return refuse(405, 'POST only');
  if (!/^application\/json\b/i.test(request.headers['content-type'] ?? ''))
    return refuse(415, 'expected application/json');
  const body = await readBody(request, bodies, MAX_REVIEW_BYTES[path]);
  if (body.kind === 'gone') return;
  if (body.kind === 'refused') return refuse(body.status, body.message);
  const { text } = body;
  const address = request.socket.remoteAddress ?? '';
  const onFailure = (uid: string, error: string) => {
    if (path === '/inject') metrics.injections.failed += 1;
    else metrics.validations.failed += 1;
    log('webhook_failed', { path, uid, error });
  };
  try {
    // within an object: the turn ends where the review waits for something, such as the worker
    const { pending } = await queues[path].run(address, text.length, () => ({
      pending: reviewed(text, reviews[path], address, onFailure),
    }));
    const outcome = await pending;
    if (typeof outcome === 'string') return refuse(400, outcome);
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(outcome));
  } catch (error) {
    refuse(429, error instanceof Error ? error.message : String(error)); // TooManyReviews: nothing else is let through
  }
}

/** The answer; a string says what is wrong with the review. Rejects with `TooManyReviews` only. */
async function reviewed(
  text: string,
  review: Review,
  address: string,
  onFailure: (uid: string, error: string) => void,
): Promise<JsonObject | string> {
  const request = readAdmissionReview(text);
  if (typeof request === 'string') return request;
  try {
    return admissionResponse(request.uid, await review(request, address));
  } catch (error) {
    if (error instanceof TooManyReviews) throw error;
    onFailure(request.uid, error instanceof Error ? (error.stack ?? error.message) : String(error));
    const message = 'lateral: the webhook failed; see the log of the control plane';
    return admissionResponse(request.uid, { isAllowed: false, code: 500, message });
  }
}
