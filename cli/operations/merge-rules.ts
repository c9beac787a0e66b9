import type { RuleFacts } from '#control-plane/observation/rule-uses.ts';

type RuleFact = RuleFacts['rules'][number];

/** What several replicas know together: a match at any of them is one, and a sidecar may have gone from one to another. */
export function mergeRules(answers: readonly RuleFacts[]): RuleFacts {
  const byRule = new Map<string, RuleFact>();
  for (const fact of answers.flatMap(({ rules }) => rules)) {
    const name = `${fact.policy} ${fact.key}`;
    const known = byRule.get(name);
    byRule.set(name, known === undefined ? fact : joined(known, fact));
  }
  const heard = new Set(answers.flatMap((answer) => answer.heard));
  const unheard = new Set(answers.flatMap((answer) => answer.unheard).filter((name) => !heard.has(name)));
  return {
    rootNamespace: answers[0]?.rootNamespace ?? '',
    observedSince: answers.reduce((latest, { observedSince }) => later(latest, observedSince) ?? latest, ''),
    rules: [...byRule.values()],
    heard: [...heard],
    unheard: [...unheard],
    hasForgotten: answers.some(({ hasForgotten }) => hasForgotten),
  };
}

/** What is shared both know, who read it last the most of it. */
function joined(one: RuleFact, other: RuleFact): RuleFact {
  const shared = Math.max(one.matches - one.unshared, other.matches - other.unshared);
  const unshared = one.unshared + other.unshared;
  return {
    ...one,
    matches: shared + unshared,
    unshared,
    lastMatched: later(one.lastMatched, other.lastMatched),
    inForceSince: later(one.inForceSince, other.inForceSince) ?? one.inForceSince,
  };
}

/** Times in ISO 8601 have the order of their texts. */
function later(one: string | null, other: string | null): string | null {
  if (one === null || other === null) return one ?? other;
  return one > other ? one : other;
}
