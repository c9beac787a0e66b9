import { type KeySet, readKeySet } from '#policy/authentication/key-set.ts';
import type { RemoteKeySource } from '#policy/authentication/token-rule.ts';
import type { KeysState } from '../telemetry/issuer-gauges.ts';
import { fetchKeys } from './fetch-keys.ts';
import type { KeptKeys } from './kept-keys.ts';

/** Keys are asked for again when they are this old: an issuer that withdraws a key is obeyed by then. Source: Istio's default. */
export const JWKS_FRESH_MS = 20 * 60_000;
/** A token of an unknown key has the keys asked for at once, but not more often than this. */
export const UNKNOWN_KEY_INTERVAL_MS = 30_000;
/** Between two attempts where the last one failed; doubled each time … */
export const FIRST_RETRY_MS = 1_000;
/** … up to this. */
export const MAX_RETRY_MS = 60_000;

/** What the keys of issuers need of the world. */
export interface KeyWorld {
  /** Milliseconds that only go forward. */
  monotonicMs(): number;
  /** Milliseconds since the epoch. */
  nowMs(): number;
  /** Calls once, later; what it returns keeps it from that. */
  schedule(afterMs: number, run: () => void): () => void;
  readonly kept: KeptKeys;
  log(event: string, facts: { readonly [name: string]: unknown }): void;
}

/**
 * The keys of one issuer: had at first need, and again in the background before they are old. The last good ones stay in
 * force as long as no others can be had.
 */
export class IssuerKeys {
  readonly #source: RemoteKeySource;
  readonly #world: KeyWorld;
  readonly #closing = new AbortController();
  readonly #ready: Promise<void>;
  #hadAtMs = 0;
  #failures = 0;
  #current: KeySet | undefined;
  #text: string | undefined;
  #pending: Promise<void> | undefined;
  #unplan: (() => void) | undefined;
  #retryMs = FIRST_RETRY_MS;
  #failedAt = Number.NEGATIVE_INFINITY;
  #unknownAskedAt = Number.NEGATIVE_INFINITY;
  /** Why there are none; undefined: the last attempt was good. */
  #failure: string | undefined;

  constructor(source: RemoteKeySource, world: KeyWorld) {
    this.#source = source;
    this.#world = world;
    this.#ready = this.#begin();
  }

  get current(): KeySet | undefined {
    return this.#current;
  }

  get state(): KeysState {
    return { url: this.#source.url, hadAtMs: this.#hadAtMs, failures: this.#failures };
  }

  get failure(): string {
    return this.#failure ?? 'they have not been fetched yet';
  }

  /** The keys there are; waits for the first ones. Undefined: they cannot be had now. */
  async obtain(): Promise<KeySet | undefined> {
    await this.#ready;
    if (this.#current !== undefined) return this.#current;
    if (this.#pending === undefined && this.#world.monotonicMs() - this.#failedAt < FIRST_RETRY_MS) return undefined;
    await this.#refresh();
    return this.#current;
  }

  /** After a token of a key that is not among them; resolves once they are as new as may be asked for. */
  async renewForUnknownKey(): Promise<void> {
    const nowMs = this.#world.monotonicMs();
    if (this.#pending !== undefined) return this.#pending;
    if (nowMs - this.#unknownAskedAt < UNKNOWN_KEY_INTERVAL_MS) return;
    this.#unknownAskedAt = nowMs;
    await this.#refresh();
  }

  close(): void {
    this.#unplan?.();
    this.#closing.abort();
  }

  /** What was kept is good at once; what is fetched takes its place. */
  async #begin(): Promise<void> {
    const kept = await this.#world.kept.read(this.#source).catch(() => undefined);
    if (kept !== undefined) this.#take(kept);
    const fetching = this.#refresh();
    if (this.#current === undefined) await fetching;
  }

  /** One at a time; never rejects. */
  #refresh(): Promise<void> {
    this.#pending ??= this.#fetch().finally(() => {
      this.#pending = undefined;
    });
    return this.#pending;
  }

  async #fetch(): Promise<void> {
    this.#unplan?.();
    try {
      const text = await fetchKeys(this.#source, this.#closing.signal);
      const isNew = text !== this.#text;
      const complaint = this.#take(text);
      if (complaint !== undefined) throw new Error(`${this.#source.url}: ${complaint}`);
      if (this.#failure !== undefined) this.#world.log('issuer_keys_recovered', { source: this.#source.url });
      this.#failure = undefined;
      this.#hadAtMs = this.#world.nowMs();
      this.#retryMs = FIRST_RETRY_MS;
      this.#plan(JWKS_FRESH_MS);
      if (isNew) await this.#keep(text);
    } catch (error) {
      if (this.#closing.signal.aborted) return;
      this.#fail(error instanceof Error ? error.message : String(error));
    }
  }

  /** A text says why not: then those of before stay. The same text stays the same keys, whose verified tokens stay so. */
  #take(text: string): string | undefined {
    if (text === this.#text) return undefined;
    const keys = readKeySet(text, { secrets: false });
    if (typeof keys === 'string') return keys;
    // an answer without any key is more likely a fault than an issuer that withdrew all: and fails closed for new ones either way
    if (keys.keys.length === 0) return 'none of the keys can verify a signature';
    this.#current = keys;
    this.#text = text;
    return undefined;
  }

  #fail(reason: string): void {
    const areKept = this.#current !== undefined;
    if (this.#failure === undefined) this.#world.log('issuer_keys_failed', { reason, areKept });
    this.#failure = reason;
    this.#failures++;
    this.#failedAt = this.#world.monotonicMs();
    this.#plan(this.#retryMs);
    this.#retryMs = Math.min(2 * this.#retryMs, MAX_RETRY_MS);
  }

  async #keep(text: string): Promise<void> {
    await this.#world.kept.write(this.#source, text).catch((error: unknown) => {
      this.#world.log('issuer_keys_not_kept', { source: this.#source.url, reason: String(error) });
    });
  }

  /** Up to a tenth sooner, so that a thousand sidecars do not ask at once. */
  #plan(afterMs: number): void {
    if (this.#closing.signal.aborted) return;
    this.#unplan = this.#world.schedule(afterMs * (1 - Math.random() / 10), () => void this.#refresh());
  }
}
