import { hash } from 'node:crypto';
import type { Resource } from '../resource/kind.ts';
import type { AuthorizationPolicySpec } from '../resource/kinds/authorization-policy.ts';

/** Hexadecimal digits of a key: within one policy that is enough. */
const KEY_LENGTH = 16;

type Policy = Pick<Resource<AuthorizationPolicySpec>, 'spec' | 'isOnTrial'>;

/**
 * What each rule of a policy is known by, in their order: by its content, with the action and whether it is on trial, so that it
 * stays the same rule in another place of the policy. Equal rules are told apart by their order.
 */
export function* ruleKeys({ spec, isOnTrial = false }: Policy): Generator<string> {
  const seen = new Map<string, number>();
  for (const rule of spec.rules ?? []) {
    // what travels is canonical: equal rules have equal texts wherever they were read from it
    const key = hash('sha256', JSON.stringify([spec.action, isOnTrial, rule])).slice(0, KEY_LENGTH);
    const before = seen.get(key) ?? 0;
    seen.set(key, before + 1);
    yield before === 0 ? key : `${key}-${before}`;
  }
}
