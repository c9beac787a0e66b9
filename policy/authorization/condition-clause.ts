import type { Reads } from '../condition/attributes.ts';
import type { Condition } from '../condition/compile-condition.ts';
import { isSecretName } from '../http/is-secret-name.ts';
import type { AuthorizationDecision } from '../workload-policy.ts';
import type { Sight } from './attribute.ts';
import type { Clause } from './clause.ts';
import { type Doubt, isCertainFor } from './doubt.ts';

/** Longest text of a condition in a reason. */
const MAX_SHOWN_LENGTH = 200;

/** The rule that a condition is of. */
export interface ConditionPlace {
  /** NAMESPACE/NAME. */
  readonly policy: string;
  readonly rule: number;
  /** Of its terms. */
  readonly order: number;
  readonly action: 'ALLOW' | 'DENY' | 'AUDIT' | 'CUSTOM';
}

/** A condition that could not be judged for a request. */
export interface ConditionFault {
  readonly place: ConditionPlace;
  readonly error: string;
}

/**
 * A condition in CEL, as the last clause of a term: it costs most. Where it cannot be judged, a DENY or CUSTOM rule holds and another does not;
 * the fault is kept in sight, so that the refusal names it.
 */
export class ConditionClause implements Clause {
  readonly field = 'condition';
  readonly isHttp: boolean;
  readonly place: ConditionPlace;
  readonly #condition: Condition;
  /** As it is shown. */
  readonly #text: string;

  constructor(text: string, condition: Condition, place: ConditionPlace) {
    this.#text = shown(text, condition.reads);
    this.#condition = condition;
    this.place = place;
    this.isHttp = [...condition.reads.attributes].some((name) => name === 'jwt' || name.startsWith('request.'));
  }

  isSatisfied(sight: Sight): boolean {
    const verdict = this.#condition.judge(sight.request);
    if (typeof verdict === 'boolean') return verdict;
    sight.faults.push({ place: this.place, error: verdict.error });
    return this.place.action === 'DENY' || this.place.action === 'CUSTOM';
  }

  /** False: it looks at what is not known. */
  isCertain(doubt: Doubt): boolean {
    return isCertainFor(this.#condition.reads, doubt);
  }

  explain(sight: Sight): string {
    const verdict = this.#condition.judge(sight.request);
    if (typeof verdict === 'boolean') return `condition: ${this.#text} is ${verdict}`;
    return `condition: ${this.#text} could not be judged: ${verdict.error}`;
  }
}

/** What a condition compares a secret with may be one, too. */
function shown(text: string, { headers, claims, queryParameters }: Reads): string {
  const secret = [...headers, ...claims, ...queryParameters].find(isSecretName);
  if (secret !== undefined) return `(withheld, as it speaks of ${secret})`;
  return text.length > MAX_SHOWN_LENGTH ? `${text.slice(0, MAX_SHOWN_LENGTH)}…` : text;
}

/** No rule lets the request pass, and of one of them it cannot be said. */
export function unjudged({ place: { policy, rule, action }, error }: ConditionFault): AuthorizationDecision {
  const reason = `the condition of rule ${rule} of ${action} policy ${policy} could not be judged: ${error}`;
  return { kind: 'deny', code: 'authorization_condition_failed', policy, rule, reason };
}
