import type { EventLog } from '../event-log.ts';
import type { InjectionSettings } from '../injection/injection-configuration.ts';
import type { StoredSecret } from '../kubernetes/identity/secret.ts';
import type { JudgeObject } from './validate-review.ts';

/** The Secret of the webhooks' certificate; a KubernetesSecret is one. */
export interface SecretStore {
  /** Undefined: it does not exist. */
  read(): Promise<StoredSecret | undefined>;
  /** Replaces all data; `conflict`: somebody else wrote since `resourceVersion`. */
  write(data: { readonly [key: string]: Buffer }, resourceVersion: string): Promise<'written' | 'conflict'>;
}

/** One MutatingWebhookConfiguration or ValidatingWebhookConfiguration: where the API server is told whom to trust. */
export interface WebhookRegistration {
  /** For messages, e.g. `MutatingWebhookConfiguration lateral-injector`. */
  readonly name: string;
  /** `clientConfig.caBundle` of each of its webhooks, as it stands there (base64), `''` where it has none; undefined: it does not exist. */
  read(): Promise<{ readonly caBundles: readonly string[]; readonly resourceVersion: string } | undefined>;
  /** Sets `clientConfig.caBundle` (base64) of all its webhooks, and nothing else. */
  write(caBundle: string, resourceVersion: string): Promise<'written' | 'conflict'>;
}

export interface WebhooksOptions {
  /** Port 0: any free port. Address undefined: all, of both families. */
  readonly listen: { readonly address: string | undefined; readonly port: number };
  /** What pods are injected with; asked at each request, so that new roots are in force at once. */
  readonly injection: () => InjectionSettings;
  /** Judges one object as `lateral check` would, in the mesh as it is. */
  readonly judge: JudgeObject;
  /** Names the API server calls the webhooks by, e.g. `lateral-control-plane.lateral-system.svc`; see `webhookNames`. */
  readonly dnsNames: readonly string[];
  readonly secret: SecretStore;
  readonly registrations: readonly WebhookRegistration[];
  /** Only the leader writes the Secret and the registrations. */
  readonly isLeader: () => boolean;
  readonly log: EventLog;
  readonly now: () => number;
}

/** Of the Secret; the chart makes it, empty. */
export const CERTIFICATE_SECRET = 'lateral-webhook-certificate';

/** The names of the control plane's Service that a certificate must be good for. */
export function webhookNames(rootNamespace: string, clusterDomain: string): string[] {
  const service = `lateral-control-plane.${rootNamespace}.svc`;
  return [service, `${service}.${clusterDomain}`];
}
