import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { EventLog } from '../event-log.ts';
import {
  type AdmissionAnswer,
  type AdmissionRequest,
  admissionResponse,
  readAdmissionReview,
} from './admission-review.ts';
import { type BodyBudget, readBody } from './read-body.ts';
import type { WebhookMetrics } from './webhook-metrics.ts';

/** An AdmissionReview holds an object and its former state; etcd takes 1.5 MiB of each. */
export const MAX_REVIEW_BYTES = 4 * 1024 * 1024;
/** Bodies that may be in memory at once. */
const MAX_BUFFERED_BYTES = 64 * 1024 * 1024;
/** The API server waits 10 s by default, and 30 s at most. */
const REQUEST_TIMEOUT_MS = 10_000;
const HEADERS_TIMEOUT_MS = 5_000;
const KEEP_ALIVE_TIMEOUT_MS = 90_000;
const MAX_CONNECTIONS = 512;

/** PEM. */
export interface ServerCertificate {
  readonly certificate: string;
  readonly privateKey: string;
}

export type Review = (request: AdmissionRequest) => AdmissionAnswer | Promise<AdmissionAnswer>;

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
  const budget: BodyBudget = { maxBytes: MAX_REVIEW_BYTES, availableBytes: MAX_BUFFERED_BYTES };
  const server = createServer(
    {
      ...tlsOf(options.certificate),
      requestTimeout: REQUEST_TIMEOUT_MS,
      headersTimeout: HEADERS_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    },
    (request, response) => {
      void answer(request, response, options, budget);
    },
  );
  server.maxConnections = MAX_CONNECTIONS;
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
        server.close(() => resolve());
        server.closeIdleConnections();
        setTimeout(() => server.closeAllConnections(), REQUEST_TIMEOUT_MS).unref();
      }),
  };
}

function tlsOf({ certificate, privateKey }: ServerCertificate) {
  return { cert: certificate, key: privateKey, minVersion: 'TLSv1.3' as const };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { reviews, metrics, log }: WebhookServerOptions,
  budget: BodyBudget,
): Promise<void> {
  const refuse = (status: number, message: string) => {
    metrics.malformed += 1;
    response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', connection: 'close' });
    response.end(`${message}\n`);
  };
  const [path] = (request.url ?? '').split('?', 1);
  if (path !== '/inject' && path !== '/validate') return refuse(404, 'known: /inject, /validate');
  if (request.method !== 'POST') return refuse(405, 'POST only');
  if (!/^application\/json\b/i.test(request.headers['content-type'] ?? ''))
    return refuse(415, 'expected application/json');
  const body = await readBody(request, budget);
  if (body.kind === 'gone') return;
  if (body.kind === 'refused') return refuse(body.status, body.message);
  const review = readAdmissionReview(body.text);
  if (typeof review === 'string') return refuse(400, review);
  const reviewed = await judged(review, reviews[path], (error) => {
    if (path === '/inject') metrics.injections.failed += 1;
    else metrics.validations.failed += 1;
    log('webhook_failed', { path, uid: review.uid, error });
  });
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(admissionResponse(review.uid, reviewed)));
}

async function judged(
  request: AdmissionRequest,
  review: Review,
  onFailure: (error: string) => void,
): Promise<AdmissionAnswer> {
  try {
    return await review(request);
  } catch (error) {
    onFailure(error instanceof Error ? (error.stack ?? error.message) : String(error));
    return { isAllowed: false, code: 500, message: 'lateral: the webhook failed; see the log of the control plane' };
  }
}
