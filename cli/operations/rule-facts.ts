import type { RuleFacts } from '#control-plane/observation/rule-uses.ts';
import { listOf, numberOf, recordOf, textOf } from './facts.ts';

/** Reads the page /rules of a control plane. Throws where it is not that. */
export function readRulesPage(page: unknown): RuleFacts {
  const { rootNamespace, observedSince, rules, heard, unheard, hasForgotten } = recordOf(page);
  return {
    rootNamespace: textOf(rootNamespace),
    observedSince: textOf(observedSince),
    rules: listOf(rules).map(readRule),
    heard: listOf(heard).map(textOf),
    unheard: listOf(unheard).map(textOf),
    hasForgotten: hasForgotten === true,
  };
}

function readRule(value: unknown): RuleFacts['rules'][number] {
  const { policy, rule, key, action, isOnTrial, matches, unshared, lastMatched, inForceSince } = recordOf(value);
  return {
    policy: textOf(policy),
    rule: numberOf(rule),
    key: textOf(key),
    action: textOf(action),
    isOnTrial: isOnTrial === true,
    matches: numberOf(matches),
    // a control plane that does not say shares nothing
    unshared: numberOf(unshared ?? matches),
    lastMatched: lastMatched === null ? null : textOf(lastMatched),
    inForceSince: textOf(inForceSince),
  };
}
