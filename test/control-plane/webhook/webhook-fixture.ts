import type { X509Certificate } from 'node:crypto';
import { request } from 'node:https';
import type { TLSSocket } from 'node:tls';
import type { Test } from 'tap';
import { KubernetesSecret } from '#control-plane/kubernetes/identity/secret.ts';
import { type RunningWebhooks, startWebhooks } from '#control-plane/webhook/start-webhooks.ts';
import type { JudgeObject } from '#control-plane/webhook/validate-review.ts';
import { CERTIFICATE_SECRET, webhookNames } from '#control-plane/webhook/webhook-options.ts';
import { webhookRegistrations } from '#control-plane/webhook/webhook-registrations.ts';
import { until } from '../../support/inbound-sidecar.ts';
import { injectionSettings } from '../injection/settings.ts';
import { type SmallApiServer, startSmallApiServer } from './api-server.ts';

export const ROOT = 'lateral-system';
export const HOST = `lateral-control-plane.${ROOT}.svc`;
export const SECRET = `/api/v1/namespaces/${ROOT}/secrets/${CERTIFICATE_SECRET}`;
export const INJECTOR = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/lateral-injector';
export const VALIDATOR = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/lateral-validator';

export interface ReplicaOptions {
  readonly isLeader?: () => boolean;
  readonly now?: () => number;
  readonly judge?: JudgeObject;
}

/** An API server as the chart leaves it: the Secret empty, the registrations without a caBundle. */
export async function installed(t: Test): Promise<SmallApiServer> {
  const api = await startSmallApiServer(t);
  api.set(SECRET, { kind: 'Secret', type: 'Opaque', metadata: { labels: { chart: 'lateral' } } });
  api.set(INJECTOR, { webhooks: [{ name: 'inject.lateral.dev', clientConfig: { service: { path: '/inject' } } }] });
  const service = { service: { path: '/validate' } };
  api.set(VALIDATOR, {
    webhooks: [
      { name: 'a', clientConfig: service },
      { name: 'b', clientConfig: service },
    ],
  });
  return api;
}

export interface Replica {
  readonly running: RunningWebhooks;
  readonly port: number;
  readonly events: { readonly event: string; readonly fields: object | undefined }[];
}

/** One replica of the control plane; ends with the test. */
export function startReplica(t: Test, api: SmallApiServer, options: ReplicaOptions = {}): Omit<Replica, 'port'> {
  const events: { event: string; fields: object | undefined }[] = [];
  const running = startWebhooks({
    listen: { address: '127.0.0.1', port: 0 },
    injection: () => injectionSettings(),
    judge: options.judge ?? (() => ({ errors: [], warnings: [] })),
    dnsNames: webhookNames(ROOT, 'cluster.local'),
    secret: new KubernetesSecret(api.client, ROOT, CERTIFICATE_SECRET),
    registrations: webhookRegistrations(api.client),
    isLeader: options.isLeader ?? (() => true),
    log: (event, fields) => events.push({ event, fields }),
    now: options.now ?? Date.now,
  });
  t.teardown(() => running.close());
  return { running, events };
}

export async function startedReplica(t: Test, api: SmallApiServer, options: ReplicaOptions = {}): Promise<Replica> {
  const replica = startReplica(t, api, options);
  await until(() => replica.running.port() !== undefined);
  return { ...replica, port: replica.running.port() ?? 0 };
}

/** The caBundle of a registration's first webhook, PEM. */
export function caBundle(api: SmallApiServer, path: string): string {
  const webhooks: unknown = api.get(path)['webhooks'];
  const encoded = JSON.stringify(webhooks).match(/"caBundle":"([^"]*)"/g) ?? [];
  const bundles = new Set(encoded.map((text) => text.slice('"caBundle":"'.length, -1)));
  if (bundles.size > 1) throw new Error('caBundles differ');
  return Buffer.from([...bundles][0] ?? '', 'base64').toString();
}

/** Asks as the API server does: the name of the Service, trust by the caBundle of the registration. */
export function post(
  api: SmallApiServer,
  port: number,
  path: string,
  body: string,
  headers: { readonly [name: string]: string } = { 'content-type': 'application/json' },
  method = 'POST',
): Promise<{ readonly status: number; readonly body: string; readonly certificate: X509Certificate | undefined }> {
  const ca = caBundle(api, INJECTOR);
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, path, method, ca, servername: HOST, headers, agent: false };
    const asked = request(options, (response) => {
      let text = '';
      const certificate = peerOf(response.socket);
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text, certificate }));
    });
    asked.on('error', reject);
    asked.end(body);
  });
}

function peerOf(socket: object): X509Certificate | undefined {
  return 'getPeerX509Certificate' in socket ? (socket as TLSSocket).getPeerX509Certificate() : undefined;
}

/** The body of a review of an object. */
export function review(object: object, more: object = {}): string {
  const request = { uid: 'u-1', operation: 'CREATE', namespace: 'shop', object, ...more };
  return JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request });
}
