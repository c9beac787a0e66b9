import type { Resource } from '../resource/kind.ts';
import { isForSidecars } from '../resource/kinds/attachment.ts';
import type { AuthorizationPolicySpec } from '../resource/kinds/authorization-policy.ts';
import type { AuthorizationRule } from '../resource/kinds/authorization-rule.ts';
import type { SourcedResource } from '../resource/sourced-resource.ts';
import { clausesOf, type RuleClauses } from './rule-clauses.ts';

/** Rules of one action and scope that others are compared with: an answer at admission must not wait for more. */
export const MAX_COMPARED_RULES = 10_000;

export type Action = AuthorizationPolicySpec['action'];

/** A policy that is in force as it is written, at its place. */
export interface PlacedPolicy {
  readonly sourced: SourcedResource;
  readonly policy: Resource<AuthorizationPolicySpec>;
}

export interface PlacedRule extends PlacedPolicy {
  readonly index: number;
  readonly clauses: RuleClauses;
}

/** Policies of an action in the order in which they are judged. */
export function policiesOf(all: readonly SourcedResource[], action: Action): readonly PlacedPolicy[] {
  const placed: (PlacedPolicy & { readonly key: string })[] = [];
  for (const sourced of all) {
    if (sourced.any.type !== 'AuthorizationPolicy') continue;
    const policy = sourced.any.resource;
    if (policy.spec.action === action && isEnforced(policy)) placed.push({ sourced, policy, key: keyOf(policy) });
  }
  return placed.sort((left, right) => (left.key < right.key ? -1 : Number(left.key > right.key)));
}

/** One on trial is no law yet, and makes none superfluous. */
export function isEnforced(policy: PlacedPolicy['policy']): boolean {
  return isForSidecars(policy) && policy.isOnTrial !== true;
}

export function compareOrder(left: PlacedPolicy['policy'], right: PlacedPolicy['policy']): number {
  const [leftKey, rightKey] = [keyOf(left), keyOf(right)];
  return leftKey === rightKey ? 0 : leftKey < rightKey ? -1 : 1;
}

function keyOf({ namespace, name }: PlacedPolicy['policy']): string {
  return `${namespace}/${name}`;
}

export function* placedRules({ sourced, policy }: PlacedPolicy): Generator<PlacedRule> {
  for (const index of (policy.spec.rules ?? []).keys()) {
    yield { sourced, policy, index, clauses: clausesOf(policy, index) };
  }
}

/** Equal for rules that match the same: order of lists and of keys does not count. */
export function ruleText({ policy, index, clauses }: PlacedRule): string {
  clauses.texts.whole ??= unordered(policy.spec.rules?.[index] ?? {});
  return clauses.texts.whole;
}

const NO_PARTS: { readonly [K in keyof AuthorizationRule]?: undefined } = {};
/** Of a rule that matches all. */
export const EVERYTHING = unordered(NO_PARTS);

function unordered(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(unordered).sort().join()}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? '';
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return `{${members
    .map(([key, member]) => `${JSON.stringify(key)}:${unordered(member)}`)
    .sort()
    .join()}}`;
}
