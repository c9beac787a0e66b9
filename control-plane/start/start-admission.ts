import { isRecord } from '#policy/schema/schema.ts';
import type { Mesh } from '#policy/workload-policy.ts';
import packageDescription from '../../package.json' with { type: 'json' };
import type { Authority } from '../authority/authority.ts';
import type { EventLog } from '../event-log.ts';
import { type InjectionConfiguration, randomKey } from '../injection/injection-configuration.ts';
import type { Kubernetes } from '../kubernetes/open-kubernetes.ts';
import type { ClusterView } from '../kubernetes/resources/cluster-view.ts';
import { createObjectJudge } from '../webhook/object-judge.ts';
import { type RunningWebhooks, startWebhooks } from '../webhook/start-webhooks.ts';
import { CERTIFICATE_SECRET, webhookNames } from '../webhook/webhook-options.ts';
import { webhookRegistrations } from '../webhook/webhook-registrations.ts';

/** How often the API server is asked for its version. */
const VERSION_INTERVAL_MS = 60_000;

export interface AdmissionOptions {
  readonly listen: { readonly address: string | undefined; readonly port: number };
  readonly injection: InjectionConfiguration;
  readonly mesh: Mesh;
  readonly clusterDomain: string;
  readonly authority: Authority;
  readonly view: ClusterView;
  readonly kubernetes: Kubernetes;
  readonly log: EventLog;
}

/** Starts both webhooks on what the control plane knows of the cluster; they serve once their certificate is there. */
export async function startAdmission(options: AdmissionOptions): Promise<RunningWebhooks> {
  const { listen, injection, mesh, clusterDomain, authority, view, kubernetes, log } = options;
  const version = await keepServerVersion(kubernetes, log);
  const judge = createObjectJudge(view);
  const webhooks = startWebhooks({
    listen,
    injection: () => ({
      configuration: injection,
      mesh,
      rootCertificatesPem: authority.trustBundlePem,
      version: packageDescription.version,
      kubernetesVersion: version.known(),
      newKey: randomKey,
    }),
    judge: judge.judge,
    dnsNames: webhookNames(mesh.rootNamespace, clusterDomain),
    secret: kubernetes.secret(CERTIFICATE_SECRET),
    registrations: webhookRegistrations(kubernetes.client),
    isLeader: () => kubernetes.isLeader,
    log,
    now: Date.now,
  });
  kubernetes.onLeading(() => void webhooks.reconcile());
  return {
    ...webhooks,
    close: async () => {
      version.close();
      await webhooks.close();
      await judge.close();
    },
  };
}

/** The API server's version, asked again and again: the server may be away now, and another one after an upgrade. */
async function keepServerVersion({ client }: Kubernetes, log: EventLog) {
  let known: string | undefined;
  let reason = '';
  const ask = async () => {
    try {
      const answer = await client.request('/version');
      if (isRecord(answer) && typeof answer.gitVersion === 'string') known = answer.gitVersion;
      reason = '';
    } catch (error) {
      const failure = error instanceof Error ? error.message : String(error);
      if (failure !== reason) log('kubernetes_version_unknown', { error: failure, known });
      reason = failure;
    }
  };
  await ask();
  const timer = setInterval(() => void ask(), VERSION_INTERVAL_MS);
  timer.unref();
  return {
    /** Undefined: it never answered; pods then get the form that every version understands. */
    known: () => known,
    close: () => clearInterval(timer),
  };
}
