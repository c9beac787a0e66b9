import type { RuleTallies } from '#policy/authorization/rule-tallies.ts';
import type { Gauge } from './metrics.ts';

/** Rules that have a series of their own; the matches of further ones are counted together as `other`. */
export const MAX_RULE_SERIES = 1_000;

/** How often each rule in force decided, or would have. */
export function ruleMatches(tallies: Pick<RuleTallies, 'inForce'>): Gauge {
  return {
    name: 'lateral_authorization_rule_matches_total',
    help: 'Requests and connections that a rule of an AuthorizationPolicy in force decided, had a provider asked about (CUSTOM), or would have decided (AUDIT, on trial).',
    type: 'counter',
    read: () => {
      const named = tallies.inForce
        .slice(0, MAX_RULE_SERIES)
        .map(({ policy, rule, matches }) => [`{policy="${policy}",rule="${rule}"}`, matches] as const);
      const others = tallies.inForce.slice(MAX_RULE_SERIES);
      if (others.length === 0) return named;
      return [...named, ['{policy="other",rule="other"}', others.reduce((sum, { matches }) => sum + matches, 0)]];
    },
  };
}
