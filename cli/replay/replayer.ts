import { referredClaims } from '#policy/authentication/referred-claims.ts';
import { MAX_POSSIBLE_DECISIONS } from '#policy/authorization/possible-decisions.ts';
import { referredHeaders } from '#policy/authorization/referred-headers.ts';
import { isRecord } from '#policy/schema/schema.ts';
import type { AuthorizationDecision, Authorizer, BoundWorkload } from '#policy/workload-policy.ts';
import type { OfflineAuthorizer } from '../offline/authorize-offline.ts';
import { type RecalledRequest, recallRequest } from './recalled-request.ts';
import { allowedBy, type ProviderStand, standOf } from './recorded-answers.ts';
import { identityOf, type Outcome, type RecordedRequest } from './recorded-line.ts';

/** How the decision of a recorded request compares with what the policies given would have decided. */
export type Comparison =
  | { readonly kind: 'same' }
  | { readonly kind: 'undecidable'; readonly missing: readonly string[] }
  | {
      readonly kind: 'newlyRefused' | 'newlyAllowed' | 'otherRule';
      /** Several: all of them let through or all refuse, and which one it would be depends on what is not recorded. */
      readonly after: readonly Outcome[];
      /** Why, of a decision that is certain; it costs more than the comparison. */
      readonly reason: () => string;
    };

/** The workload of lines that do not name theirs. */
export type NamedWorkload = Pick<BoundWorkload, 'namespace' | 'name' | 'labels'>;

/** Codes whose policy and rule are those that decided; others name what came nearest. */
const BY_A_RULE: ReadonlySet<string> = new Set(['allowed', 'authorization_denied', 'authorization_condition_failed']);
/** What a provider says that was not asked, and what the request was before one changed it. */
const answerOf = (provider: string) => `answer of provider ${provider}`;
const changesOf = (provider: string) => `the request as it was before provider ${provider}`;
const TOKEN = 'token, which was no good';
const WORKLOAD = 'workload (--to, --label)';

/** Decides recorded requests anew, by the engine of the sidecar. */
export class Replayer {
  readonly #offline: OfflineAuthorizer;
  readonly #otherwise: NamedWorkload | undefined;
  readonly #headers: readonly string[];
  readonly #claims: readonly (readonly string[])[];
  readonly #readsQuery: boolean;

  /** `otherwise`: for lines of versions that did not write their workload. */
  constructor(offline: OfflineAuthorizer, otherwise: NamedWorkload | undefined) {
    const { policies, conditions } = offline;
    this.#offline = offline;
    this.#otherwise = otherwise;
    this.#headers = referredHeaders(policies, conditions.values());
    this.#claims = referredClaims(policies, conditions.values());
    this.#readsQuery = [...conditions.values()].some(({ reads }) => reads.attributes.has('request.query'));
  }

  compare(recorded: RecordedRequest): Comparison {
    const workload = workloadOf(recorded) ?? this.#otherwise;
    if (workload === undefined) return { kind: 'undecidable', missing: [WORKLOAD] };
    if (recorded.isTokenRefused && this.#offline.defaults.mode === 'Enforce') {
      return { kind: 'undecidable', missing: [TOKEN] };
    }
    const recalled = recallRequest(recorded, this.#offline.defaults);
    if (recalled.ambiguity !== undefined) return this.#ofAmbiguousPath(recorded, recalled.ambiguity);
    const { namespace, labels = {} } = workload;
    // Pods of one service account and the same labels are judged alike.
    const serviceAccount = identityOf(recorded.destination)?.serviceAccount;
    const name = serviceAccount ?? workload.name;
    const { authorizer, external } = this.#offline.decidingOf({ namespace, name, serviceAccount, labels });
    const matches = external?.possible(recalled.asked, recalled.doubtBefore) ?? [];
    const stand = standOf(matches, recorded.providers);
    if (stand.kind === 'deny') return this.#ofProvider(recorded, stand);
    const byRules = () =>
      this.#isWhole(recalled)
        ? this.#certain(recorded, recalled, authorizer)
        : this.#inDoubt(recorded, recalled, authorizer);
    const isChangeSeen = this.#headers.length > 0 || this.#readsQuery;
    if (stand.kind === 'unknown') {
      const missing = [answerOf(stand.provider)];
      const rest = isChangeSeen ? undefined : byRules();
      // What is refused whatever the provider says is refused.
      return rest !== undefined && this.#refuses(rest, recorded) ? rest : { kind: 'undecidable', missing };
    }
    const asked = new Set(matches.flatMap(({ match }) => (match.kind === 'ask' ? [match.provider.name] : [])));
    const left = allowedBy(recorded.providers).find((provider) => !asked.has(provider));
    if (left !== undefined && isChangeSeen) return { kind: 'undecidable', missing: [changesOf(left)] };
    return byRules();
  }

  #refuses(comparison: Comparison, { before }: RecordedRequest): boolean {
    if (comparison.kind === 'undecidable') return false;
    return comparison.kind === 'same'
      ? before.decision === 'deny'
      : comparison.after.every(({ decision }) => decision === 'deny');
  }

  #ofProvider(recorded: RecordedRequest, stand: Extract<ProviderStand, { kind: 'deny' }>): Comparison {
    const { code, policy, rule, reason } = stand;
    const after = [{ decision: this.#refusal, code, policy, rule }];
    const kind = kindOf(recorded, after, true);
    return kind === 'same' ? { kind } : { kind, after, reason: () => reason };
  }

  get #refusal(): 'deny' | 'audit' {
    return this.#offline.defaults.mode === 'Enforce' ? 'deny' : 'audit';
  }

  /** All is known that any policy looks at. */
  #isWhole({ doubt }: RecalledRequest): boolean {
    const isKnown = (['path', 'host', 'sourceIp', 'remoteIp', 'destinationIp', 'sni'] as const).every(
      (part) => doubt.of(part) === 'known',
    );
    return (
      isKnown &&
      (!this.#readsQuery || doubt.of('query') === 'known') &&
      this.#headers.every((name) => doubt.ofHeader(name) === 'known') &&
      this.#claims.every((names) => doubt.ofClaim(names) === 'known')
    );
  }

  #ofAmbiguousPath({ before }: RecordedRequest, reason: string): Comparison {
    const after = { decision: 'deny', code: 'ambiguous_path', policy: undefined, rule: undefined } as const;
    const kind = before.decision === 'deny' ? 'otherRule' : 'newlyRefused';
    return { kind, after: [after], reason: () => reason };
  }

  #certain(recorded: RecordedRequest, { asked }: RecalledRequest, authorizer: Authorizer): Comparison {
    const decision = authorizer.decide(asked);
    const trial = authorizer.observe?.(decision, asked)?.trial;
    const isRefusedOnTrial = decision.kind === 'allow' && trial?.kind === 'deny';
    const after = isRefusedOnTrial
      ? { ...this.#outcomeOf(trial), decision: 'audit' as const }
      : this.#outcomeOf(decision);
    const kind = kindOf(recorded, [after], true);
    if (kind === 'same') return { kind };
    const reason = () => authorizer.explain(isRefusedOnTrial ? trial : decision, asked).reason;
    return { kind, after: [after], reason };
  }

  #inDoubt(recorded: RecordedRequest, { asked, doubt }: RecalledRequest, authorizer: Authorizer): Comparison {
    doubt.missing.clear();
    const possible = authorizer.possible(asked, doubt);
    const after = possible.map((decision) => this.#outcomeOf(decision));
    const isRefused = new Set(after.map(({ decision }) => decision === 'deny'));
    if (isRefused.size > 1) return { kind: 'undecidable', missing: [...doubt.missing].sort() };
    // What policies on trial would say of it is in doubt as well.
    const kind = kindOf(recorded, after, authorizer.observe === undefined);
    if (kind === 'same') return { kind };
    const [only, ...others] = possible;
    const reason = () =>
      only !== undefined && others.length === 0 ? only.reason : `whatever ${[...doubt.missing].sort().join(', ')} was`;
    return { kind, after, reason };
  }

  #outcomeOf(decision: AuthorizationDecision): Outcome {
    const { policy, rule } = decision;
    if (decision.kind === 'allow') return { decision: 'allow', code: 'allowed', policy, rule };
    return { decision: this.#refusal, code: decision.code, policy, rule };
  }
}

function kindOf(
  { before, isRuleKnown }: RecordedRequest,
  after: readonly Outcome[],
  isAfterSure: boolean,
): Exclude<Comparison['kind'], 'undecidable'> {
  const isRefused = after[0]?.decision === 'deny';
  if (isRefused !== (before.decision === 'deny')) return isRefused ? 'newlyRefused' : 'newlyAllowed';
  if (!isRuleKnown || !isAfterSure || after.length >= MAX_POSSIBLE_DECISIONS) return 'same';
  return after.some((one) => isSame(one, before)) ? 'same' : 'otherRule';
}

function isSame(one: Outcome, other: Outcome): boolean {
  if (one.decision !== other.decision || one.code !== other.code) return false;
  return !BY_A_RULE.has(one.code) || (one.policy === other.policy && one.rule === other.rule);
}

function isOfTexts(labels: { readonly [key: string]: unknown }): labels is { readonly [key: string]: string } {
  for (const key in labels) if (typeof labels[key] !== 'string') return false;
  return true;
}

/** As the sidecar wrote it; undefined: it did not, or left its labels out. */
function workloadOf({ inputs: { workload } }: RecordedRequest): NamedWorkload | undefined {
  if (!isRecord(workload)) return undefined;
  const { namespace, name, labels } = workload;
  if (typeof namespace !== 'string' || typeof name !== 'string' || !isRecord(labels)) return undefined;
  return isOfTexts(labels) ? { namespace, name, labels } : undefined;
}
