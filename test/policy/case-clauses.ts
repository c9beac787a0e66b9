import type { Resource } from '#policy/resource/kind.ts';
import type { AuthorizationPolicySpec } from '#policy/resource/kinds/authorization-policy.ts';
import type { AuthorizationRule } from '#policy/resource/kinds/authorization-rule.ts';
import { PSEUDO_HEADERS, parseConditionKey } from '#policy/resource/kinds/condition-key.ts';

export type Policy = Resource<AuthorizationPolicySpec>;

/** One list of values of one rule; it matches, or it does not, by itself. */
export interface CaseClause {
  readonly policy: Policy;
  /** Its place in the policy. */
  readonly rule: number;
  readonly part: 'from' | 'to' | 'when';
  /** Its place in that part. */
  readonly entry: number;
  /** In that entry. */
  readonly field: string;
  /** As the schema has it; of `when` the key, with NAME for what the rule names. */
  readonly name: string;
  /** The name of what it negates; of others their own. */
  readonly positive: string;
  readonly isNegation: boolean;
  readonly values: readonly string[];
  /** A rule of this clause alone. */
  readonly alone: AuthorizationRule;
}

/** Whether the value is a list of values that the clause has; what is absent or empty restricts nothing. */
function isGiven(values: unknown): values is readonly string[] {
  return Array.isArray(values) && values.length > 0;
}

/** `notPaths` of `paths`. */
export function negationOf(name: string): string {
  return `not${name.charAt(0).toUpperCase()}${name.slice(1)}`;
}

/** Headers that are not read from the header fields alone. */
export const HEADERS_APART: readonly string[] = [...PSEUDO_HEADERS, 'host'];

/** A key of `when` as `CONDITION_KEYS` has it; such headers and claims within claims are told apart. */
export function conditionName(key: string): string {
  const parsed = parseConditionKey(key);
  if (parsed?.kind === 'header') {
    return HEADERS_APART.includes(parsed.lowerName) ? `request.headers[${parsed.lowerName}]` : 'request.headers[NAME]';
  }
  if (parsed?.kind !== 'claim') return key;
  return parsed.names.length === 1 ? 'request.auth.claims[NAME]' : 'request.auth.claims[NAME][NAME]';
}

/** Every clause of a policy. */
export function clausesOf(policy: Policy): readonly CaseClause[] {
  return (policy.spec.rules ?? []).flatMap((rule, place) => {
    const of = { policy, rule: place };
    const sources = (rule.from ?? []).flatMap(({ source }, entry) =>
      fieldClauses(source, (one) => ({ ...one, ...of, part: 'from', entry, alone: aloneIn('from', one) })),
    );
    const operations = (rule.to ?? []).flatMap(({ operation }, entry) =>
      fieldClauses(operation, (one) => ({ ...one, ...of, part: 'to', entry, alone: aloneIn('to', one) })),
    );
    const conditions = (rule.when ?? []).flatMap(({ key, ...lists }, entry) => {
      const name = conditionName(key);
      return Object.entries(lists).flatMap(([field, values]): readonly CaseClause[] => {
        if (!isGiven(values)) return [];
        const isNegation = field === 'notValues';
        const both = { values: undefined, notValues: undefined, [field]: values };
        const alone = { ...NO_RULE, when: [{ key, ...both }] };
        const shown = isNegation ? `${name} notValues` : name;
        return [{ ...of, part: 'when', entry, field, name: shown, positive: name, isNegation, values, alone }];
      });
    });
    return [...sources, ...operations, ...conditions];
  });
}

const NO_RULE: AuthorizationRule = { from: undefined, to: undefined, when: undefined, condition: undefined };

type FieldClause = Pick<CaseClause, 'field' | 'name' | 'positive' | 'isNegation' | 'values'>;

function fieldClauses(fields: object, clause: (one: FieldClause) => CaseClause): readonly CaseClause[] {
  const names = Object.keys(fields);
  return Object.entries(fields).flatMap(([field, values]) => {
    if (!isGiven(values)) return [];
    const negated = names.find((name) => negationOf(name) === field);
    return [clause({ field, name: field, positive: negated ?? field, isNegation: negated !== undefined, values })];
  });
}

/** The entry's other fields are absent. */
function aloneIn(part: 'from' | 'to', { field, values }: FieldClause): AuthorizationRule {
  // The names of the fields come from an entry of that part.
  const fields = { [field]: values } as never;
  return part === 'from' ? { ...NO_RULE, from: [{ source: fields }] } : { ...NO_RULE, to: [{ operation: fields }] };
}

/** The policy with other values of the clause; with none the clause restricts nothing. */
export function withValues({ policy, rule, part, entry, field }: CaseClause, values: readonly string[]): Policy {
  return withRule(policy, rule, (given) => {
    const lists = { [field]: values };
    if (part === 'from') {
      return { ...given, from: changed(given.from, entry, ({ source }) => ({ source: { ...source, ...lists } })) };
    }
    if (part === 'to') {
      return { ...given, to: changed(given.to, entry, ({ operation }) => ({ operation: { ...operation, ...lists } })) };
    }
    return { ...given, when: changed(given.when, entry, (condition) => ({ ...condition, ...lists })) };
  });
}

/** The policy as if the clause never held: without its entry, and where the rule has no other without the rule. */
export function withoutHolding({ policy, rule, part, entry }: CaseClause): Policy {
  return withRule(policy, rule, (given) => {
    const others = (given[part] ?? []).filter((_, place) => place !== entry);
    return part === 'when' || others.length === 0 ? undefined : { ...given, [part]: others };
  });
}

/** Undefined takes the rule away. */
export function withRule(
  policy: Policy,
  place: number,
  change: (rule: AuthorizationRule) => AuthorizationRule | undefined,
): Policy {
  const rules = (policy.spec.rules ?? []).flatMap((rule, at) => (at === place ? (change(rule) ?? []) : [rule]));
  return { ...policy, spec: { ...policy.spec, rules } };
}

function changed<T>(entries: readonly T[] | undefined, place: number, change: (entry: T) => T): readonly T[] {
  return (entries ?? []).map((entry, at) => (at === place ? change(entry) : entry));
}
