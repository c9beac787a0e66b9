import { reviewInjection } from './inject-review.ts';
import { reviewResource } from './validate-review.ts';
import { notAfterMsOf, type WebhookCertificate } from './webhook-certificate.ts';
import { keepWebhookCertificate } from './webhook-certificate-keeper.ts';
import { createWebhookMetrics, type WebhookMetrics } from './webhook-metrics.ts';
import type { WebhooksOptions } from './webhook-options.ts';
import { startWebhookServer, type WebhookServer } from './webhook-server.ts';

export interface RunningWebhooks {
  readonly metrics: WebhookMetrics;
  /** The port that is served; undefined until the first certificate is there. */
  port(): number | undefined;
  /** Resolves once the port is served, or they were closed before it was. */
  readonly serving: Promise<void>;
  /** Looks after Secret and registrations now; to be called when this replica becomes the leader. */
  reconcile(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Starts both webhooks. The port opens once a certificate is there: from the Secret, or of this replica's making once it leads.
 * A renewed certificate is served from the next connection on.
 */
export function startWebhooks(options: WebhooksOptions): RunningWebhooks {
  const metrics = createWebhookMetrics();
  const serving = Promise.withResolvers<void>();
  let server: WebhookServer | undefined;
  const reviews = {
    '/inject': (request: Parameters<typeof reviewInjection>[0]) =>
      reviewInjection(request, options.injection(), metrics),
    '/validate': (request: Parameters<typeof reviewResource>[0], address: string) =>
      reviewResource(request, options.judge, metrics, address),
  };
  const serve = async (held: WebhookCertificate) => {
    const { log, listen } = options;
    const certificate = { certificate: held.certificate, privateKey: held.privateKey };
    if (server === undefined) {
      server = await startWebhookServer({ listen, certificate, reviews, metrics, log });
      log('webhooks_ready', { port: server.port });
      serving.resolve();
    } else {
      server.renew(certificate);
    }
    metrics.certificateNotAfterMs = notAfterMsOf(held);
  };
  const keeper = keepWebhookCertificate({ ...options, onCertificate: serve });
  return {
    metrics,
    port: () => server?.port,
    serving: serving.promise,
    reconcile: () => keeper.reconcile(),
    close: async () => {
      serving.resolve();
      await keeper.close();
      await server?.close();
    },
  };
}
