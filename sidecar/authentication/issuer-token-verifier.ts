import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { JsonWebToken, TokenRefusal } from '#policy/authentication/json-web-token.ts';
import { CLOCK_SKEW_S } from '#policy/authentication/judge-claims.ts';
import type { TokenVerifier } from '#policy/authentication/judge-tokens.ts';
import type { KeySet } from '#policy/authentication/key-set.ts';
import type { KeySource, RemoteKeySource } from '#policy/authentication/token-rule.ts';
import { verifySignature } from '#policy/authentication/verify-signature.ts';
import type { KeysState } from '../telemetry/issuer-gauges.ts';
import { shareOf } from '../workers/thread-share.ts';
import { IssuerKeys, type KeyWorld } from './issuer-keys.ts';

/** Verified tokens that are remembered … */
export const MAX_VERIFIED_TOKENS = shareOf(10_000);
/** … and the characters of all of them together. */
export const MAX_VERIFIED_CHARACTERS = shareOf(16 * 1024 * 1024);

/**
 * Judges signatures by the keys of issuers, which belong to the process and not to a version of the policy. A token whose
 * signature was good is remembered by its hash, until it ends or its issuer has other keys.
 */
export class IssuerTokenVerifier implements TokenVerifier {
  readonly #world: KeyWorld;
  readonly #issuers = new Map<string, IssuerKeys>();
  readonly #verified = new LRUCache<string, JsonWebToken>({
    max: MAX_VERIFIED_TOKENS,
    maxSize: MAX_VERIFIED_CHARACTERS,
  });

  constructor(world: KeyWorld) {
    this.#world = world;
  }

  /** Of the sources in use, by their addresses. */
  get keysStates(): readonly KeysState[] {
    return [...this.#issuers.values()].map(({ state }) => state);
  }

  nowMs(): number {
    return this.#world.nowMs();
  }

  recall(text: string): JsonWebToken | undefined {
    return this.#verified.size === 0 ? undefined : this.#verified.get(hash('sha256', text, 'base64url'));
  }

  verify(
    token: JsonWebToken,
    text: string,
    source: KeySource,
  ): TokenRefusal | undefined | Promise<TokenRefusal | undefined> {
    const keys = source.kind === 'inline' ? source.keys : this.#issuerOf(source).current;
    if (keys !== undefined && token.verifiedBy === keys) return undefined;
    return source.kind === 'inline' ? this.#judge(token, text, source.keys) : this.#judgeByIssuer(token, text, source);
  }

  /** Has the keys of these sources at hand from now on, and those of no others. */
  use(sources: readonly RemoteKeySource[]): void {
    const named = new Set(sources.map(({ key }) => key));
    for (const [key, issuer] of this.#issuers) {
      if (named.has(key)) continue;
      issuer.close();
      this.#issuers.delete(key);
    }
    for (const source of sources) this.#issuerOf(source);
  }

  close(): void {
    this.use([]);
  }

  async #judgeByIssuer(token: JsonWebToken, text: string, source: RemoteKeySource): Promise<TokenRefusal | undefined> {
    const issuer = this.#issuerOf(source);
    const keys = await issuer.obtain();
    if (keys === undefined) return { code: 'issuer_keys_unavailable', reason: `no keys: ${issuer.failure}` };
    const refusal = await this.#judge(token, text, keys);
    if (refusal?.code !== 'jwt_key_unknown') return refusal;
    await issuer.renewForUnknownKey();
    const renewed = issuer.current;
    return renewed === undefined || renewed === keys ? refusal : this.#judge(token, text, renewed);
  }

  async #judge(token: JsonWebToken, text: string, keys: KeySet): Promise<TokenRefusal | undefined> {
    const refusal = await verifySignature(token, text, keys);
    if (refusal === undefined) this.#remember(token, text, keys);
    return refusal;
  }

  #remember(token: JsonWebToken, text: string, keys: KeySet): void {
    token.verifiedBy = keys;
    const { expiresAt } = token;
    const ttl = expiresAt === undefined ? undefined : (expiresAt + CLOCK_SKEW_S) * 1_000 - Date.now();
    if (ttl !== undefined && ttl <= 0) return;
    this.#verified.set(hash('sha256', text, 'base64url'), token, {
      size: text.length,
      ...(ttl === undefined ? {} : { ttl }),
    });
  }

  #issuerOf(source: RemoteKeySource): IssuerKeys {
    const known = this.#issuers.get(source.key);
    if (known !== undefined) return known;
    const made = new IssuerKeys(source, this.#world);
    this.#issuers.set(source.key, made);
    return made;
  }
}
