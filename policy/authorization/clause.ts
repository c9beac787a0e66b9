import type { AuthorizationRequest } from '../workload-policy.ts';
import type { MatchesValue } from './compile-patterns.ts';

/** One field of a rule: what it looks at, and whether that satisfies it. */
export interface Clause {
  /** Name of the field as the policy writes it, e.g. `methods` or `request.headers[x-team]`. */
  readonly field: string;
  /** True for what only an HTTP request has. */
  readonly isHttp: boolean;
  isSatisfied(request: AuthorizationRequest): boolean;
  /** Why it is not satisfied, for the operator; called only where it is not. */
  explain(request: AuthorizationRequest): string;
}

/** What a clause looks at; undefined: the request has none. */
type ReadValue = (request: AuthorizationRequest) => string | undefined;

export interface Attribute {
  readonly field: string;
  readonly isHttp: boolean;
  readonly read: ReadValue;
  /** How an absent value is called in an explanation, e.g. `the caller has no identity`. */
  readonly absent: string;
  /** The value must not appear in explanations. */
  readonly isSecret?: boolean;
}

/** Values or patterns shown in one explanation. */
const MAX_SHOWN_VALUES = 10;
/** Longest value shown in an explanation. */
const MAX_SHOWN_LENGTH = 200;

/** One of the values must match; what is absent matches none. */
export function positiveClause(attribute: Attribute, values: readonly string[], matches: MatchesValue): Clause {
  const { field, isHttp, read, absent } = attribute;
  return {
    field,
    isHttp,
    isSatisfied(request) {
      const value = read(request);
      return value !== undefined && matches(value);
    },
    explain(request) {
      const value = read(request);
      if (value === undefined) return `${field}: ${absent}`;
      return `${field}: ${shown(attribute, value)} is not one of ${listed(values)}`;
    },
  };
}

/** None of the values may match; what is absent satisfies it, as in Istio. */
export function negativeClause(attribute: Attribute, values: readonly string[], matches: MatchesValue): Clause {
  const { field, isHttp, read } = attribute;
  return {
    field,
    isHttp,
    isSatisfied(request) {
      const value = read(request);
      return value === undefined || !matches(value);
    },
    explain: (request) => `${field}: ${shown(attribute, read(request) ?? '')} is one of ${listed(values)}`,
  };
}

function shown({ isSecret = false }: Attribute, value: string): string {
  if (isSecret) return 'the value (withheld)';
  if (value === '') return '(empty)';
  return value.length > MAX_SHOWN_LENGTH ? `${value.slice(0, MAX_SHOWN_LENGTH)}…` : value;
}

function listed(values: readonly string[]): string {
  const more = values.length - MAX_SHOWN_VALUES;
  const text = values.slice(0, MAX_SHOWN_VALUES).join(', ');
  return more > 0 ? `${text} and ${more} more` : text;
}
