import type { Code } from '../error/codes.ts';
import type { AuthorizationRequest } from '../workload-policy.ts';
import type { Sight } from './attribute.ts';
import type { Doubt } from './doubt.ts';
import { possibleMatch } from './possible-decisions.ts';
import type { Provider } from './provider.ts';
import type { RuleEngine } from './rule-engine.ts';
import type { Rule } from './term.ts';

/** A request that a provider is to be asked about, or one that cannot be asked about and is refused. */
export type ExternalMatch =
  | { readonly kind: 'ask'; readonly provider: Provider; readonly policy: string; readonly rule: number }
  | {
      readonly kind: 'refuse';
      readonly code: Code;
      readonly policy: string;
      readonly rule: number;
      readonly reason: string;
    };

/** One of those who may have to be asked about a request of which not all is known. */
export interface PossibleMatch {
  readonly match: ExternalMatch;
  readonly isCertain: boolean;
}

/** The rules of all CUSTOM policies that name one provider; undefined: no provider has this name. */
export interface ProviderRules {
  readonly name: string;
  readonly provider: Provider | undefined;
  readonly engine: RuleEngine;
}

const NONE: readonly ExternalMatch[] = [];

/** Says which providers have to allow a request before policies of the mesh do. Pure. */
export class ExternalRules {
  readonly #sight: Sight;
  readonly #rules: readonly ProviderRules[];
  /** Of all providers, each once. */
  readonly rules: readonly Rule[];

  constructor(sight: Sight, rules: readonly ProviderRules[]) {
    this.#sight = sight;
    this.#rules = rules;
    this.rules = [...new Set(rules.flatMap(({ engine }) => [...engine.rules()]))];
  }

  /** In the order in which they are asked; empty: none is, and nothing was allocated. */
  matches(request: AuthorizationRequest): readonly ExternalMatch[] {
    this.#sight.begin(request);
    let found: ExternalMatch[] | undefined;
    for (const rules of this.#rules) {
      const match = this.#match(rules, request);
      if (match === undefined) continue;
      found ??= [];
      found.push(match);
    }
    this.#sight.end();
    return found ?? NONE;
  }

  /** Of a request of which not all is known: who may have to be asked, each with whether he certainly has. */
  possible(request: AuthorizationRequest, doubt: Doubt): readonly PossibleMatch[] {
    this.#sight.begin(request);
    const found = this.#rules.flatMap((rules) => {
      const matched = possibleMatch(rules.engine.candidates(doubt), this.#sight, doubt);
      if (matched === undefined) return [];
      return [{ match: this.#meaning(rules, matched.rule, request), isCertain: matched.isCertain }];
    });
    this.#sight.end();
    return found;
  }

  #match(rules: ProviderRules, request: AuthorizationRequest): ExternalMatch | undefined {
    const matched = rules.engine.first();
    if (matched === undefined) return undefined;
    matched.tally.matches++;
    return this.#meaning(rules, matched, request);
  }

  /** What it means that the rule matches what is in sight. */
  #meaning({ name, provider }: ProviderRules, matched: Rule, request: AuthorizationRequest): ExternalMatch {
    const { policy, index: rule } = matched;
    const place = `rule ${rule} of CUSTOM policy ${policy} matched`;
    const fault = this.#sight.faultOf('CUSTOM');
    if (fault !== undefined && fault.place.policy === policy && fault.place.rule === rule) {
      const reason = `the condition of rule ${rule} of CUSTOM policy ${policy} could not be judged: ${fault.error}`;
      return { kind: 'refuse', code: 'authorization_condition_failed', policy, rule, reason };
    }
    if (provider === undefined) {
      const reason = `${place}, and MeshDefaults.extensionProviders has no ${name}`;
      return { kind: 'refuse', code: 'authorization_provider_unknown', policy, rule, reason };
    }
    if (provider.http !== undefined && request.method === undefined) {
      const reason = `${place}, and provider ${name} is asked by HTTP, which tells nothing of a TCP connection`;
      return { kind: 'refuse', code: 'authorization_provider_unavailable', policy, rule, reason };
    }
    return { kind: 'ask', provider, policy, rule };
  }
}
