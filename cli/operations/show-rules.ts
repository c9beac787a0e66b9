import type { RuleFacts } from '#control-plane/observation/rule-uses.ts';
import type { CommandIo } from '../command.ts';
import type { RuleVerdict } from './rule-verdict.ts';
import { age, plain, table } from './table.ts';

/** Sidecars that are named; of more their number is told. */
const MAX_NAMED_SIDECARS = 10;

const HEADER = ['POLICY', 'RULE', 'ACTION', 'MATCHES', 'LAST MATCHED', 'IN FORCE', 'USE'];

export interface ShownRules extends Pick<RuleFacts, 'observedSince' | 'unheard'> {
  readonly rules: readonly (RuleFacts['rules'][number] & { readonly use: RuleVerdict })[];
}

/** The table on stdout; what keeps it from saying more on stderr. `window`: as it was asked for, e.g. `7d`. */
export function showRules({ rules, observedSince, unheard }: ShownRules, window: string, nowMs: number, io: CommandIo) {
  const rows = rules.map(({ policy, rule, action, isOnTrial, matches, lastMatched, inForceSince, use }) => [
    policy,
    String(rule),
    isOnTrial ? `${action} (on trial)` : action,
    String(matches),
    lastMatched === null ? 'never' : `${age(lastMatched, nowMs)} ago`,
    age(inForceSince, nowMs),
    use === 'unused' ? `${lastMatched === null ? 'never matched' : 'not matched'} in ${window}` : use,
  ]);
  if (rows.length > 0) io.stdout(table([HEADER, ...rows].map((row) => row.map(plain))));
  else io.stderr('no such rule is in force\n');
  io.stderr(`observed for ${age(observedSince, nowMs)}\n`);
  if (unheard.length === 0) return;
  const named = unheard.slice(0, MAX_NAMED_SIDECARS).map(plain).join(', ');
  const more = unheard.length > MAX_NAMED_SIDECARS ? ` and ${unheard.length - MAX_NAMED_SIDECARS} more` : '';
  io.stderr(`not connected, and may serve until their certificates end: ${named}${more}\n`);
}
