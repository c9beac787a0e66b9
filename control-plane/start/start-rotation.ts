import { AuthorityOperations } from '../authority/authority-operations.ts';
import { RootRotation } from '../authority/root-rotation.ts';
import type { TrustSurvey } from '../authority/trust-survey.ts';
import type { ControlPlaneConfiguration } from '../configuration.ts';
import type { EventLog } from '../event-log.ts';
import { ROOT_NOTICE_MS } from '../federation/bundle-endpoint.ts';
import type { ServerIdentity } from '../grpc/tls-listener.ts';
import type { KubernetesSource } from '../kubernetes/kubernetes-source.ts';
import type { Kubernetes } from '../kubernetes/open-kubernetes.ts';
import { askTrust } from '../replicas/ask-trust.ts';
import { leafTimes, type RunningAuthority } from './start-authority.ts';

export interface RotationParts {
  readonly identities: RunningAuthority;
  readonly survey: TrustSurvey;
  /** What this control plane proves itself with, now. */
  readonly identity: () => ServerIdentity;
  readonly kubernetes: Kubernetes | undefined;
  /** Undefined: there is one control plane, and nobody knows which workloads are gone for good. */
  readonly cluster: KubernetesSource | undefined;
  readonly log: EventLog;
  readonly now: () => number;
}

/** What moves a change of the root on, and what operators have done by the authority. */
export function startRotation(
  configuration: Pick<ControlPlaneConfiguration, 'authority' | 'mesh' | 'bundleEndpoint'>,
  options: { readonly leafLifetimeMs?: number },
  { identities, survey, identity, kubernetes, cluster, log, now }: RotationParts,
): { readonly rotation: RootRotation; readonly operations: AuthorityOperations } {
  const { mesh, bundleEndpoint } = configuration;
  const { leafLifetimeMs } = leafTimes(configuration, options);
  const { keeper } = identities;
  const kept = () => identities.kept;
  const addresses = () => (kubernetes === undefined || cluster === undefined ? [] : kubernetes.otherReplicas(cluster));
  const rotation = new RootRotation({
    keeper,
    kept,
    survey,
    otherReplicas: askTrust({ mesh, identity, addresses }),
    isGone: (name) => cluster !== undefined && cluster.state.pods.get(name) === undefined,
    isLeader: () => kubernetes === undefined || cluster === undefined || kubernetes.isLeader,
    leafLifetimeMs,
    noticeMs: bundleEndpoint === undefined ? 0 : ROOT_NOTICE_MS,
    log,
    now,
  });
  return { rotation, operations: new AuthorityOperations({ keeper, kept, rotation, mesh, leafLifetimeMs, log, now }) };
}
