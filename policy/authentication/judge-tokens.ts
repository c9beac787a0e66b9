import type { RefusalFacts } from '../error/refusal.ts';
import type { TokenCode } from '../error/token-codes.ts';
import { dashedName } from '../http/dashed-name.ts';
import type { FlatHeaders } from '../http/flat-headers.ts';
import type { RequestClaims } from '../workload-policy.ts';
import { type JsonWebToken, quoted, readToken, type TokenRefusal } from './json-web-token.ts';
import { audienceRefusal, isForAudience, timeRefusal } from './judge-claims.ts';
import { outputHeaders, withoutOutputs } from './output-headers.ts';
import { headersWithout, queryWithout, type TokenPlace, textsAt } from './token-place.ts';
import type { KeySource, RemoteKeySource, TokenRule } from './token-rule.ts';

/** Tokens of one request that are judged; more are refused. */
export const MAX_TOKENS_OF_REQUEST = 8;

/** What judging needs of the world: the time, and the issuers' keys. */
export interface TokenVerifier {
  nowMs(): number;
  /** The token of this text, where it was verified before. */
  recall(text: string): JsonWebToken | undefined;
  /** Undefined: a key of the source signed it. A promise only where keys or signature have to be waited for. */
  verify(
    token: JsonWebToken,
    text: string,
    source: KeySource,
  ): TokenRefusal | undefined | Promise<TokenRefusal | undefined>;
}

/** The request as it goes on, and who speaks by its token; or why the token is refused. */
export type Judgement =
  | {
      readonly kind: 'accepted';
      /** Undefined: no token came. */
      readonly claims: RequestClaims | undefined;
      readonly headers: FlatHeaders;
      readonly query: string;
    }
  | {
      readonly kind: 'refused';
      readonly code: TokenCode;
      readonly reason: string;
      readonly facts: RefusalFacts;
      /** Without those that only verified tokens may set. */
      readonly headers: FlatHeaders;
    };

interface FoundToken {
  readonly text: string;
  readonly place: TokenPlace;
  readonly rules: readonly TokenRule[];
}

type Verdict =
  | { readonly kind: 'good'; readonly found: FoundToken; readonly token: JsonWebToken; readonly rule: TokenRule }
  | { readonly kind: 'bad'; readonly refusal: TokenRefusal; readonly rule: TokenRule | undefined };

/** A place, and the rules that look for tokens there. */
export interface WatchedPlace {
  readonly place: TokenPlace;
  readonly rules: readonly TokenRule[];
}

/**
 * Judges the tokens that requests to one workload bring. None at all is for the rules of authorization to judge; one that is there
 * must be good, and so must every other. Whose claims count where there are several: those of the first rule.
 */
export class TokenJudge {
  /** Where keys must be had from. */
  readonly sources: readonly RemoteKeySource[];
  /** Names of query parameters that hold tokens: their values are never logged. */
  readonly parameters: ReadonlySet<string>;
  readonly #places: readonly WatchedPlace[];
  readonly #rules: readonly TokenRule[];
  readonly #outputs: ReadonlySet<string>;
  readonly #verifier: TokenVerifier;

  /** `rules` in the order in which they count. */
  constructor(rules: readonly TokenRule[], places: readonly WatchedPlace[], verifier: TokenVerifier) {
    this.#rules = rules;
    this.#places = places;
    this.#verifier = verifier;
    this.#outputs = new Set(rules.flatMap(outputNames));
    this.parameters = new Set(places.flatMap(({ place }) => (place.kind === 'parameter' ? [place.name] : [])));
    const remote = rules.flatMap(({ source }) => (source.kind === 'inline' ? [] : [source]));
    this.sources = [...new Map(remote.map((source) => [source.key, source])).values()];
  }

  /** A promise only where keys or a signature have to be waited for. */
  judge(headers: FlatHeaders, query: string): Judgement | Promise<Judgement> {
    const found = this.#places.flatMap(({ place, rules }) =>
      textsAt(place, headers, query).map((text) => ({ text, place, rules })),
    );
    const kept = this.#outputs.size === 0 ? headers : withoutOutputs(headers, this.#outputs);
    if (found.length === 0) return { kind: 'accepted', claims: undefined, headers: kept, query };
    if (found.length > MAX_TOKENS_OF_REQUEST) {
      const reason = `${found.length} tokens exceed maxTokensOfRequest ${MAX_TOKENS_OF_REQUEST}`;
      return refused({ code: 'jwt_too_many', reason }, found[0]?.rules[0], kept);
    }
    const verdicts = found.map((one) => this.#judgeToken(one));
    if (!verdicts.some((verdict) => verdict instanceof Promise))
      return this.#settle(verdicts.filter(isSettled), kept, query);
    return Promise.all(verdicts).then((settled) => this.#settle(settled, kept, query));
  }

  #settle(verdicts: readonly Verdict[], headers: FlatHeaders, query: string): Judgement {
    const good: (Verdict & { kind: 'good' })[] = [];
    for (const verdict of verdicts) {
      if (verdict.kind === 'bad') return refused(verdict.refusal, verdict.rule, headers);
      good.push(verdict);
    }
    good.sort((left, right) => this.#rules.indexOf(left.rule) - this.#rules.indexOf(right.rule));
    const removed = good.filter(({ rule }) => !rule.isForwarded).map(({ found }) => found.place);
    const outputs = new Map<string, string>();
    for (const { rule, token, found } of good) {
      const made = outputHeaders(rule, token, found.text);
      for (let index = 0; index < made.length; index += 2) {
        const name = made[index] ?? '';
        if (!outputs.has(name)) outputs.set(name, made[index + 1] ?? '');
      }
    }
    return {
      kind: 'accepted',
      claims: good[0]?.token.claims,
      headers: [...headersWithout(headers, removed), ...[...outputs].flat()],
      query: queryWithout(query, removed),
    };
  }

  #judgeToken(found: FoundToken): Verdict | Promise<Verdict> {
    const token = this.#verifier.recall(found.text) ?? readToken(found.text);
    // whoever looked for a token there is who refuses what is none of theirs
    if ('code' in token) return { kind: 'bad', refusal: token, rule: found.rules[0] };
    const named = found.rules.filter(({ issuer }) => issuer === token.issuer);
    if (named.length === 0) return { kind: 'bad', refusal: issuerRefusal(token, found.rules), rule: found.rules[0] };
    const late = timeRefusal(token, this.#verifier.nowMs());
    if (late !== undefined) return { kind: 'bad', refusal: late, rule: named[0] };
    const [rule, ...others] = named.filter(({ accepted }) => isForAudience(token, accepted));
    if (rule === undefined) {
      const accepted = named.flatMap(({ audiences }) => audiences);
      return { kind: 'bad', refusal: audienceRefusal(token, accepted), rule: named[0] };
    }
    const refusal = this.#verifier.verify(token, found.text, rule.source);
    if (refusal === undefined) return { kind: 'good', found, token, rule };
    if (!(refusal instanceof Promise) && others.length === 0) return { kind: 'bad', refusal, rule };
    return this.#tryOthers(refusal, { found, token, rule }, others);
  }

  /** Rules of one issuer may have different keys: the token is good if any of them takes it. */
  async #tryOthers(
    first: TokenRefusal | Promise<TokenRefusal | undefined>,
    { found, token, rule }: { readonly found: FoundToken; readonly token: JsonWebToken; readonly rule: TokenRule },
    others: readonly TokenRule[],
  ): Promise<Verdict> {
    const refusal = await first;
    if (refusal === undefined) return { kind: 'good', found, token, rule };
    for (const other of others) {
      if (other.source.key === rule.source.key) continue;
      if ((await this.#verifier.verify(token, found.text, other.source)) !== undefined) continue;
      return { kind: 'good', found, token, rule: other };
    }
    return { kind: 'bad', refusal, rule };
  }
}

function isSettled(verdict: Verdict | Promise<Verdict>): verdict is Verdict {
  return !(verdict instanceof Promise);
}

function outputNames({ payloadHeader, claimHeaders }: TokenRule): readonly string[] {
  const names = [...(payloadHeader === undefined ? [] : [payloadHeader]), ...claimHeaders.map(({ header }) => header)];
  return names.map((name) => dashedName(name.toLowerCase()));
}

function refused(refusal: TokenRefusal, rule: TokenRule | undefined, headers: FlatHeaders): Judgement {
  const facts = rule === undefined ? {} : { policy: rule.policy, rule: rule.index };
  return { kind: 'refused', ...refusal, facts, headers };
}

/** Issuers that a reason names. */
const MAX_NAMED = 4;

function issuerRefusal({ issuer }: JsonWebToken, rules: readonly TokenRule[]): TokenRefusal {
  const known = [...new Set(rules.map((rule) => rule.issuer))];
  const named = known.slice(0, MAX_NAMED).map(quoted).join(', ');
  const more = known.length > MAX_NAMED ? ` and ${known.length - MAX_NAMED} more` : '';
  return { code: 'jwt_issuer_unknown', reason: `issuer ${quoted(issuer)} is none of ${named}${more}` };
}
