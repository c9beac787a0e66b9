import type { RuleFacts } from '#control-plane/observation/rule-uses.ts';

/** Whether a rule was of use: only `unused` says that it was not, and only where nobody can have missed it. */
export type RuleVerdict = 'used' | 'unused' | 'observed too shortly' | 'not all sidecars heard';

/**
 * Whether the rule matched within the time. `isWhole`: all replicas have answered. A rule of a namespace is missed by a sidecar of it
 * that is not heard; one of the root namespace by any.
 */
export function ruleVerdict(
  rule: RuleFacts['rules'][number],
  facts: Omit<RuleFacts, 'rules'>,
  { windowMs, nowMs, isWhole }: { readonly windowMs: number; readonly nowMs: number; readonly isWhole: boolean },
): RuleVerdict {
  const beginMs = nowMs - windowMs;
  if (rule.lastMatched !== null && !(Date.parse(rule.lastMatched) < beginMs)) return 'used';
  const isOld = (time: string) => Date.parse(time) <= beginMs;
  if (!isOld(rule.inForceSince) || !isOld(facts.observedSince)) return 'observed too shortly';
  const [namespace = ''] = rule.policy.split('/');
  const isMissed = facts.unheard.some((name) => namespace === facts.rootNamespace || name.startsWith(`${namespace}/`));
  return isMissed || facts.hasForgotten || !isWhole ? 'not all sidecars heard' : 'unused';
}
