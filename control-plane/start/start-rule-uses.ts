import { resolve } from 'node:path';
import type { TrustSurvey } from '../authority/trust-survey.ts';
import type { ControlPlaneConfiguration } from '../configuration.ts';
import type { PolicyDistribution } from '../discovery/policy-distribution.ts';
import type { EventLog } from '../event-log.ts';
import type { KubernetesSource } from '../kubernetes/kubernetes-source.ts';
import type { Kubernetes } from '../kubernetes/open-kubernetes.ts';
import { NO_STORE, type RuleUseStore, ruleUseFile } from '../observation/rule-use-store.ts';
import { RuleUses } from '../observation/rule-uses.ts';
import type { Closer } from './closer.ts';

export interface RuleUseParts {
  readonly distribution: Pick<PolicyDistribution, 'resources'>;
  readonly survey: TrustSurvey;
  readonly leafLifetimeMs: number;
  /** Undefined: nobody knows which workloads are no more. */
  readonly cluster: KubernetesSource | undefined;
  readonly kubernetes: Kubernetes | undefined;
  readonly log: EventLog;
  readonly now: () => number;
}

/** Counts the matches of rules from now on; kept beside the authority: in a file, or in the cluster for all replicas together. */
export async function startRuleUses(
  { mesh, authority }: Pick<ControlPlaneConfiguration, 'mesh' | 'authority'>,
  parts: RuleUseParts,
  closers: Closer[],
): Promise<RuleUses> {
  const { distribution, survey, leafLifetimeMs, cluster, now } = parts;
  const uses = await RuleUses.open({
    mesh,
    resources: () => distribution.resources,
    survey,
    leafLifetimeMs,
    isGone: (name) => cluster !== undefined && cluster.state.pods.get(name) === undefined,
    serving: cluster && (() => servingIn(cluster)),
    store: await storeOf({ mesh, authority }, parts),
    now,
  });
  closers.push(() => uses.close());
  return uses;
}

async function storeOf(
  { mesh, authority }: Pick<ControlPlaneConfiguration, 'mesh' | 'authority'>,
  { cluster, kubernetes, log, now }: RuleUseParts,
): Promise<RuleUseStore> {
  const onFailed = (reason: string) => log('rule_matches_not_stored', { reason });
  if (authority.kind === 'directory') {
    return ruleUseFile(resolve(authority.directory, '..', 'rule-matches.json'), onFailed);
  }
  // without the cluster as source there is no Lease to say when a control plane was last there
  if (cluster === undefined || kubernetes === undefined) return NO_STORE;
  const { sharedRuleStore } = await import('../kubernetes/rules/shared-rule-store.ts');
  const lastSeenMs = () => kubernetes.leaseRenewedMs();
  return sharedRuleStore({ client: kubernetes.client, namespace: mesh.rootNamespace, lastSeenMs, now, onFailed });
}

/** Pods with a sidecar that have begun, and have not ended. */
function* servingIn({ state }: KubernetesSource): Generator<string> {
  for (const { namespace, name, injected, isAlive, addresses } of state.pods.values()) {
    if (injected !== undefined && isAlive && addresses.length > 0) yield `${namespace}/${name}`;
  }
}
