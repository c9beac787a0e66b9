import { resolve } from 'node:path';
import type { TrustSurvey } from '../authority/trust-survey.ts';
import type { ControlPlaneConfiguration } from '../configuration.ts';
import type { PolicyDistribution } from '../discovery/policy-distribution.ts';
import type { EventLog } from '../event-log.ts';
import type { KubernetesSource } from '../kubernetes/kubernetes-source.ts';
import { NO_STORE, ruleUseFile } from '../observation/rule-use-store.ts';
import { RuleUses } from '../observation/rule-uses.ts';
import type { Closer } from './closer.ts';

export interface RuleUseParts {
  readonly distribution: Pick<PolicyDistribution, 'resources'>;
  readonly survey: TrustSurvey;
  readonly leafLifetimeMs: number;
  /** Undefined: nobody knows which workloads are no more. */
  readonly cluster: KubernetesSource | undefined;
  readonly log: EventLog;
  readonly now: () => number;
}

/** Counts the matches of rules from now on; kept in a file where the authority has a directory. */
export async function startRuleUses(
  { mesh, authority }: Pick<ControlPlaneConfiguration, 'mesh' | 'authority'>,
  { distribution, survey, leafLifetimeMs, cluster, log, now }: RuleUseParts,
  closers: Closer[],
): Promise<RuleUses> {
  const onFailed = (reason: string) => log('rule_matches_not_stored', { reason });
  const file = authority.kind === 'directory' ? resolve(authority.directory, '..', 'rule-matches.json') : undefined;
  const uses = await RuleUses.open({
    mesh,
    resources: () => distribution.resources,
    survey,
    leafLifetimeMs,
    isGone: (name) => cluster !== undefined && cluster.state.pods.get(name) === undefined,
    store: file === undefined ? NO_STORE : ruleUseFile(file, onFailed),
    now,
  });
  closers.push(() => uses.close());
  return uses;
}
