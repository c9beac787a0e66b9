import type { AuthorizationRequest } from '../workload-policy.ts';
import type { ConditionFault } from './condition-clause.ts';
import type { Certainty, Doubt } from './doubt.ts';

/** What an attribute of a request is: one value, or several of which any may match; undefined: there is none. */
export type Seen = string | readonly string[] | undefined;

/** One thing that clauses look at. */
export interface AttributeReader {
  /** True for what only an HTTP request has. */
  readonly isHttp: boolean;
  /** How an absent value is called in an explanation, e.g. `the caller has no identity`. */
  readonly absent: string;
  /** The value must not appear in explanations. */
  readonly isSecret?: boolean;
  /** In the form in which it is compared. */
  read(request: AuthorizationRequest): Seen;
  /** How much is known of it of a recorded request; absent: always all. */
  certainty?(doubt: Doubt): Certainty;
  /** As the operator knows it; absent: as it is compared. */
  shown?(request: AuthorizationRequest): Seen;
}

/** An attribute of one compiled set of rules. */
export interface Attribute extends AttributeReader {
  /** Its place in a `Sight`. */
  readonly slot: number;
}

/** The attributes of one compiled set of rules, each there once. */
export class AttributeTable {
  readonly #byName = new Map<string, Attribute>();

  /** `name`: the same for the same reader. */
  of(name: string, reader: () => AttributeReader): Attribute {
    const known = this.#byName.get(name);
    if (known !== undefined) return known;
    const made = { ...reader(), slot: this.#byName.size };
    this.#byName.set(name, made);
    return made;
  }
}

/** In sight between two requests, so that none is held longer than it is judged. */
const NOTHING: AuthorizationRequest = {
  source: null,
  method: undefined,
  path: undefined,
  host: undefined,
  headers: [],
  port: 0,
  sourceIp: undefined,
  remoteIp: undefined,
  sni: undefined,
  claims: undefined,
};

/** A request while it is judged: what was read of it is not read twice. */
export class Sight {
  request: AuthorizationRequest = NOTHING;
  #now = 0;
  readonly #values: Seen[] = [];
  /** By slot: when the value was read. */
  readonly #readAt: number[] = [];
  /** Conditions that could not be judged for this request. */
  faults: ConditionFault[] = [];

  /** What was seen of the request before is forgotten. */
  begin(request: AuthorizationRequest): void {
    this.request = request;
    this.#now += 1;
    if (this.faults.length > 0) this.faults = [];
  }

  end(): void {
    this.begin(NOTHING);
  }

  /** Of the conditions of this action that could not be judged, that of the first rule. */
  faultOf(action: ConditionFault['place']['action']): ConditionFault | undefined {
    let first: ConditionFault | undefined;
    for (const fault of this.faults) {
      const { place } = fault;
      if (place.action === action && (first === undefined || place.order < first.place.order)) first = fault;
    }
    return first;
  }

  read(attribute: Attribute): Seen {
    const { slot } = attribute;
    if (slot < this.#readAt.length && this.#readAt[slot] === this.#now) return this.#values[slot];
    while (this.#values.length <= slot) {
      this.#values.push(undefined);
      this.#readAt.push(0);
    }
    const value = attribute.read(this.request);
    this.#values[slot] = value;
    this.#readAt[slot] = this.#now;
    return value;
  }
}
