import type { EventLog } from '../event-log.ts';
import {
  caBundleOf,
  notAfterMsOf,
  readWebhookCertificate,
  renewWebhookCertificate,
  type WebhookCertificate,
  writeWebhookCertificate,
} from './webhook-certificate.ts';
import type { SecretStore, WebhookRegistration, WebhooksOptions } from './webhook-options.ts';

/** How often Secret and registrations are looked at: what somebody changes there is right again after this. */
const RECONCILE_INTERVAL_MS = 10_000;
/** The same, until there is a certificate, and after somebody else wrote first. */
const RETRY_INTERVAL_MS = 1_000;

type KeeperOptions = Pick<WebhooksOptions, 'dnsNames' | 'secret' | 'registrations' | 'isLeader' | 'log' | 'now'> & {
  /** Takes each certificate that comes into force. */
  readonly onCertificate: (certificate: WebhookCertificate) => void | Promise<void>;
};

export interface CertificateKeeper {
  /** Looks at once, e.g. after this replica became the leader; resolves when it has looked. */
  reconcile(): Promise<void>;
  /** Resolves once nothing is under way any more. */
  close(): Promise<void>;
}

/**
 * Keeps the webhooks' certificate: every replica follows the Secret, the leader alone renews what is in it and keeps the
 * registrations' caBundle as it must be, whoever changed it. A failure is logged and tried again.
 */
export function keepWebhookCertificate(options: KeeperOptions): CertificateKeeper {
  let inForce: WebhookCertificate | undefined;
  let timer: NodeJS.Timeout | undefined;
  let underWay: Promise<void> | undefined;
  let isClosed = false;

  const look = async () => {
    const outcome = await lookOnce(options, inForce).catch((error: unknown) => {
      options.log('webhook_certificate_failed', { error: error instanceof Error ? error.message : String(error) });
      return undefined;
    });
    inForce = outcome?.certificate ?? inForce;
    if (isClosed) return;
    const isSettled = inForce !== undefined && outcome?.isSettled === true;
    timer = setTimeout(() => void reconcile(), isSettled ? RECONCILE_INTERVAL_MS : RETRY_INTERVAL_MS);
    timer.unref();
  };
  const reconcile = (): Promise<void> => {
    if (isClosed) return Promise.resolve();
    clearTimeout(timer);
    underWay ??= look().finally(() => {
      underWay = undefined;
    });
    return underWay;
  };
  void reconcile();
  return {
    reconcile,
    close: async () => {
      isClosed = true;
      clearTimeout(timer);
      await underWay;
    },
  };
}

interface Outcome {
  readonly certificate: WebhookCertificate | undefined;
  /** False: to be looked at again soon. */
  readonly isSettled: boolean;
}

async function lookOnce(options: KeeperOptions, inForce: WebhookCertificate | undefined): Promise<Outcome> {
  const { secret, registrations, dnsNames, isLeader, log, now, onCertificate } = options;
  const stored = await secret.read();
  if (stored === undefined)
    throw new Error('the Secret of the webhook certificate is missing; install the chart again');
  const held = readWebhookCertificate(stored.data);
  const certificate = isLeader() ? renewWebhookCertificate(held, dnsNames, now()) : held;
  if (certificate === undefined) return { certificate, isSettled: false };
  if (certificate !== held && !(await store(secret, certificate, stored.resourceVersion, log))) {
    return { certificate: inForce, isSettled: false };
  }
  const isNew = certificate.certificate !== inForce?.certificate;
  if (isNew) await onCertificate(certificate);
  if (isLeader()) await trust(registrations, caBundleOf(certificate), log);
  return { certificate, isSettled: true };
}

async function store(
  secret: SecretStore,
  certificate: WebhookCertificate,
  resourceVersion: string,
  log: EventLog,
): Promise<boolean> {
  const outcome = await secret.write(writeWebhookCertificate(certificate), resourceVersion);
  if (outcome === 'conflict') return false;
  log('webhook_certificate_made', {
    notAfter: new Date(notAfterMsOf(certificate)).toISOString(),
    authorities: certificate.authorities.length,
  });
  return true;
}

/** One that is missing or was changed meanwhile is left for the next look. */
async function trust(registrations: readonly WebhookRegistration[], caBundle: string, log: EventLog): Promise<void> {
  for (const registration of registrations) {
    const found = await registration.read();
    if (found === undefined || found.caBundles.every((one) => one === caBundle)) continue;
    const outcome = await registration.write(caBundle, found.resourceVersion);
    if (outcome === 'written') log('webhook_registration_updated', { registration: registration.name });
  }
}
