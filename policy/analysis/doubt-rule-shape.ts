import type { Problem } from '../problem.ts';
import type { Resource } from '../resource/kind.ts';
import { isForSidecars } from '../resource/kinds/attachment.ts';
import type { AuthorizationPolicySpec } from '../resource/kinds/authorization-policy.ts';
import type { AuthorizationRule } from '../resource/kinds/authorization-rule.ts';
import type { SourcedResource } from '../resource/sourced-resource.ts';
import { doubt } from './analysis-code.ts';
import { isWithin } from './covers-rule.ts';
import { clausesOf, type RuleClause, type RuleClauses } from './rule-clauses.ts';

type Policy = Resource<AuthorizationPolicySpec>;

/** Doubts that one policy raises by the form of its rules alone. */
export function* shapeDoubts(sourced: SourcedResource, policy: Policy): Generator<void, readonly Problem[]> {
  if (!isForSidecars(policy)) return [];
  const { spec } = policy;
  const rules = spec.rules ?? [];
  const problems = rules.length === 0 ? [...emptyAllow(sourced, policy)] : [];
  for (const index of rules.keys()) {
    problems.push(
      ...splitRule(sourced, rules, index),
      ...ofRule(sourced, spec.action, clausesOf(policy, index), index),
    );
    yield;
  }
  return problems;
}

/** Names that say that nothing is allowed on purpose. */
const MEANT_TO_ALLOW_NOTHING = /deny|nothing|none|block|lock|refuse|forbid/i;

function emptyAllow(sourced: SourcedResource, { name, spec }: Policy): readonly Problem[] {
  if (spec.action !== 'ALLOW' || MEANT_TO_ALLOW_NOTHING.test(name)) return [];
  const message =
    'an ALLOW policy without rules allows nothing, and with it alone all is denied; if that is meant, name it so (allow-nothing, deny-all); `rules: [{}]` allows all';
  return [doubt(sourced, spec.rules === undefined ? ['spec'] : ['spec', 'rules'], 'allows_nothing', message)];
}

const PARTS = ['from', 'to', 'when'] as const;

/** The one part that a rule has; undefined: it has several, or none. */
function onlyPart(rule: AuthorizationRule | undefined): (typeof PARTS)[number] | undefined {
  if (rule === undefined) return undefined;
  const given = Object.entries(rule).filter(([, value]: readonly [string, unknown]) => value !== undefined);
  return given.length === 1 ? PARTS.find((part) => part === given[0]?.[0]) : undefined;
}

/** `- from` and `- to`: with the second dash they are two rules, of which one suffices. */
function splitRule(sourced: SourcedResource, rules: readonly AuthorizationRule[], index: number): readonly Problem[] {
  const [before, part] = [onlyPart(rules[index - 1]), onlyPart(rules[index])];
  if (before === undefined || part === undefined || before === part) return [];
  const message = `rule ${index - 1} has only \`${before}\` and rule ${index} only \`${part}\`: either suffices; if both are meant together, write \`${part}\` into rule ${index - 1}, without a dash`;
  return [doubt(sourced, ['spec', 'rules', index], 'split_rule', message)];
}

function ofRule(
  sourced: SourcedResource,
  action: AuthorizationPolicySpec['action'],
  clauses: RuleClauses,
  index: number,
): readonly Problem[] {
  const root = ['spec', 'rules', index];
  const problems: Problem[] = [];
  const impossible = impossibleClause(clauses, action);
  if (impossible !== undefined) {
    const message = `rule ${index} never matches: all that this field demands is refused by its negation, or by one of \`when\``;
    problems.push(doubt(sourced, [...root, ...impossible.path], 'never_matches', message));
  }
  for (const part of ['from', 'to'] as const) {
    for (const [position, entry] of clauses[part].entries()) {
      const before = clauses[part][position - 1];
      if (before === undefined) continue;
      const place = [...root, part, position];
      const [first, second] = [kindOf(before), kindOf(entry)];
      if (first !== undefined && second !== undefined && isSplit(first, second)) {
        const message = `the entry before names only ${first}, this one only ${second}: either suffices; if both are meant together, write them into one entry`;
        problems.push(doubt(sourced, place, 'split_entry', message));
      }
      if (isJoinedNegation(before, entry)) {
        const message =
          'two entries that only negate: whatever the one refuses the other takes, and all is matched; write the values into one entry';
        problems.push(doubt(sourced, place, 'joined_negations', message));
      }
    }
  }
  return problems;
}

/** What an entry of `from` or `to` is about, where it is one thing. */
const KINDS: { readonly [attribute: string]: string } = {
  'source.principal': 'identities',
  'source.namespace': 'identities',
  'request.auth.principal': 'request principals',
  'source.ip': 'addresses',
  'remote.ip': 'addresses',
  method: 'methods',
  path: 'paths',
  host: 'hosts',
  'destination.port': 'ports',
};

function kindOf(entry: readonly RuleClause[]): string | undefined {
  const kinds = new Set(entry.map(({ attribute }) => KINDS[attribute.name]));
  const [kind] = kinds;
  return kinds.size === 1 ? kind : undefined;
}

function isSplit(first: string, second: string): boolean {
  return first !== second;
}

/** Entries that only negate the same, with no value in common: one of them always holds. */
function isJoinedNegation(
  [first, ...more]: readonly RuleClause[],
  [second, ...others]: readonly RuleClause[],
): boolean {
  if (first === undefined || second === undefined || more.length + others.length > 0) return false;
  if (!first.isNegative || !second.isNegative || first.attribute.name !== second.attribute.name) return false;
  return [...first.wild, ...second.wild].length === 0 && first.exactTexts.isDisjointFrom(second.exactTexts);
}

/** A field that no request satisfies, by which all alternatives fail. */
function impossibleClause(
  { from, to, when }: RuleClauses,
  action: AuthorizationPolicySpec['action'],
): RuleClause | undefined {
  const impossibleIn = (clauses: readonly RuleClause[]) => clauses.find((one) => isImpossible(one, clauses, action));
  for (const part of [from, to]) {
    const found = part.map((alternative) => impossibleIn([...alternative, ...when]));
    if (found.length > 0 && found.every((one) => one !== undefined)) return found[0];
  }
  return impossibleIn(when);
}

/** A DENY rule is judged without its HTTP fields on a connection of TCP, so that these never keep it from matching. */
function isImpossible(
  one: RuleClause,
  clauses: readonly RuleClause[],
  action: AuthorizationPolicySpec['action'],
): boolean {
  if (one.isNegative || !one.attribute.isSingle || (one.attribute.isHttp && action !== 'ALLOW')) return false;
  const negations = clauses.filter((other) => other.isNegative && other.attribute.name === one.attribute.name);
  return one.patterns.every((pattern) => negations.some((negation) => isWithin(pattern, negation)));
}
