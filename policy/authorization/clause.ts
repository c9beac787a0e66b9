import { isCredential } from '../http/is-credential.ts';
import type { Attribute, Seen, Sight } from './attribute.ts';
import type { TextSet } from './text-set.ts';

/** One field of a rule: what it looks at, and whether that satisfies it. */
export interface Clause {
  /** Name of the field as the policy writes it, e.g. `methods` or `request.headers[x-team]`. */
  readonly field: string;
  /** True for what only an HTTP request has. */
  readonly isHttp: boolean;
  isSatisfied(sight: Sight): boolean;
  /** Why it is not satisfied, for the operator; called only where it is not. */
  explain(sight: Sight): string;
}

/** Values or patterns shown in one explanation. */
const MAX_SHOWN_VALUES = 10;
/** Longest value shown in an explanation. */
const MAX_SHOWN_LENGTH = 200;

/** What a clause compares, and with what. */
export interface Comparison {
  /** Name of the field as the policy writes it, e.g. `methods` or `request.headers[x-team]`. */
  readonly field: string;
  readonly attribute: Attribute;
  /** As the policy gives them. */
  readonly values: readonly string[];
  readonly set: TextSet;
}

/** A field that compares one attribute with values. */
export abstract class ValueClause implements Clause {
  readonly field: string;
  readonly attribute: Attribute;
  readonly set: TextSet;
  readonly values: readonly string[];

  constructor({ field, attribute, set, values }: Comparison) {
    this.field = field;
    this.attribute = attribute;
    this.set = set;
    this.values = values;
  }

  get isHttp(): boolean {
    return this.attribute.isHttp;
  }

  abstract isSatisfied(sight: Sight): boolean;
  abstract explain(sight: Sight): string;

  /** Any value will do, were it empty. */
  get isOfPresence(): boolean {
    return this.set.patterns === undefined && this.set.has('');
  }

  protected isInSet(seen: Exclude<Seen, undefined>): boolean {
    if (typeof seen === 'string') return this.set.has(seen);
    for (const one of seen) if (this.set.has(one)) return true;
    return false;
  }

  protected shown({ request }: Sight): string | undefined {
    const { attribute } = this;
    const seen = (attribute.shown ?? attribute.read)(request);
    if (seen === undefined) return undefined;
    const isWithheld = attribute.isSecret === true || (typeof seen === 'string' ? [seen] : seen).some(isCredential);
    return isWithheld ? 'the value (withheld)' : abbreviated(seen);
  }

  /** What a policy compares secrets with is secret, too. */
  protected get listed(): string {
    if (this.attribute.isSecret === true || this.values.some(isCredential)) return 'those of the policy (withheld)';
    const more = this.values.length - MAX_SHOWN_VALUES;
    const text = this.values.slice(0, MAX_SHOWN_VALUES).join(', ');
    return more > 0 ? `${text} and ${more} more` : text;
  }
}

/** One of the values must match; what is absent matches none. */
export class PositiveClause extends ValueClause {
  isSatisfied(sight: Sight): boolean {
    const seen = sight.read(this.attribute);
    return seen !== undefined && this.isInSet(seen);
  }

  explain(sight: Sight): string {
    const shown = this.shown(sight);
    if (shown === undefined) return `${this.field}: ${this.attribute.absent}`;
    return `${this.field}: ${shown} is not one of ${this.listed}`;
  }
}

/** None of the values may match; what is absent satisfies it, as in Istio. */
export class NegativeClause extends ValueClause {
  isSatisfied(sight: Sight): boolean {
    const seen = sight.read(this.attribute);
    return seen === undefined || !this.isInSet(seen);
  }

  explain(sight: Sight): string {
    return `${this.field}: ${this.shown(sight) ?? '(empty)'} is one of ${this.listed}`;
  }
}

function abbreviated(seen: Exclude<Seen, undefined>): string {
  const text = typeof seen === 'string' ? seen : seen.slice(0, MAX_SHOWN_VALUES).join(', ');
  if (text === '') return '(empty)';
  return text.length > MAX_SHOWN_LENGTH ? `${text.slice(0, MAX_SHOWN_LENGTH)}…` : text;
}
