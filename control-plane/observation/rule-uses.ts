import { performance } from 'node:perf_hooks';
import { setTimeout as wait } from 'node:timers/promises';
import { runInSlices } from '#files/run-in-slices.ts';
import { ruleKeys } from '#policy/authorization/rule-keys.ts';
import type { ResourceDocument } from '#policy/resource-set.ts';
import { readDocuments } from '#policy/snapshot/read-documents.ts';
import { setBounded } from '#policy/trust/set-bounded.ts';
import type { Mesh } from '#policy/workload-policy.ts';
import type { RuleCount } from '#proto/gen/lateral/v1/observation.ts';
import type { TrustSurvey } from '../authority/trust-survey.ts';
import { NOT_SHARED, type RuleUse } from './rule-use.ts';
import type { RuleUseStore, StoredRules, WriteOccasion } from './rule-use-store.ts';

/** Rules that are remembered; of further ones nothing is known. */
export const MAX_KNOWN_RULES = 100_000;
/** Sidecars of an earlier life of the control plane that are waited for. */
const MAX_AWAITED_SIDECARS = 10_000;
/** How often what is in force is looked at, and what is known is stored. */
export const KEEP_INTERVAL_MS = 10_000;
/** A control plane that was away for longer begins to observe anew: sidecars may have ended meanwhile with what they had seen. */
export const MAX_ABSENCE_MS = 300_000;
/** Who asks what is known waits no longer for what other replicas stored. */
const MAX_ASKED_MS = 4_000;
/** Rules taken from one message; a sidecar sends no more. */
const MAX_RULES_A_MESSAGE = 1_000;

/** What operators are told, as the page /rules shows it. Times are ISO 8601. */
export interface RuleFacts {
  readonly rootNamespace: string;
  /** Matches before may have been missed. */
  readonly observedSince: string;
  readonly rules: readonly {
    readonly policy: string;
    readonly rule: number;
    readonly key: string;
    readonly action: string;
    readonly isOnTrial: boolean;
    readonly matches: number;
    /** Those of them that no other replica knows of. */
    readonly unshared: number;
    /** Null: never since it is observed. */
    readonly lastMatched: string | null;
    readonly inForceSince: string;
  }[];
  /** NAMESPACE/NAME of the sidecars that are connected. */
  readonly heard: readonly string[];
  /**
   * What they match is not known: those that went, and may still serve with a certificate that has not ended; in a cluster all that
   * run and are not connected to this replica.
   */
  readonly unheard: readonly string[];
  /** Some that went were too many to be remembered, or what other replicas know cannot be had. */
  readonly hasForgotten: boolean;
}

export interface RuleUsesOptions {
  readonly mesh: Mesh;
  /** All that is in force. */
  readonly resources: () => readonly ResourceDocument[];
  readonly survey: Pick<TrustSurvey, 'answer'>;
  readonly leafLifetimeMs: number;
  /** Whether a workload, NAMESPACE/NAME, is known to be no more. */
  readonly isGone: (name: string) => boolean;
  /** NAMESPACE/NAME of all that may serve; undefined: that is not known, but of those that were connected. */
  readonly serving: (() => Iterable<string>) | undefined;
  readonly store: RuleUseStore;
  readonly now: () => number;
}

/** How often each rule in force matched, over all sidecars and, as far as the store goes, over restarts. */
export class RuleUses {
  readonly #options: RuleUsesOptions;
  readonly #uses = new Map<string, RuleUse>();
  /** Sidecars of an earlier life that have not come back, and when their certificates have ended. */
  readonly #awaited = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;
  readonly #isAnew: boolean;
  #restored: readonly RuleUse[] = [];
  #observedSinceMs: number;
  #seen: readonly ResourceDocument[] = [];
  #keeping: Promise<void> | undefined;
  /** By the monotonic clock. */
  #currentAtMs = Number.NEGATIVE_INFINITY;

  private constructor(options: RuleUsesOptions, stored: StoredRules | undefined) {
    this.#options = options;
    const now = options.now();
    this.#timer = setInterval(() => void this.keep(), KEEP_INTERVAL_MS).unref();
    const known = stored === undefined || now - stored.savedAtMs > MAX_ABSENCE_MS ? undefined : stored;
    this.#observedSinceMs = known?.observedSinceMs ?? now;
    this.#isAnew = known === undefined || known.observedSinceMs >= known.savedAtMs;
    if (known === undefined) return;
    this.#restored = known.rules;
    const untilMs = known.savedAtMs + options.leafLifetimeMs;
    for (const name of known.sidecars) setBounded(this.#awaited, name, untilMs, MAX_AWAITED_SIDECARS);
  }

  static async open(options: RuleUsesOptions): Promise<RuleUses> {
    const uses = new RuleUses(options, await options.store.read());
    await runInSlices(uses.#restore());
    await uses.#look();
    // those who come after a crash must not believe that it went on all the time
    if (uses.#isAnew) await uses.keep();
    return uses;
  }

  /** What a sidecar tells; rules that are not in force, or not yet, are dropped when that is looked at next. */
  take(counts: readonly RuleCount[]): void {
    const now = this.#options.now();
    for (const { policy, rule, key, matches } of counts.slice(0, MAX_RULES_A_MESSAGE)) {
      const use = this.#useOf({ policy, key }, rule, now);
      if (use === undefined) continue;
      use.matches += matches;
      use.lastMatchedMs = now;
    }
  }

  /** With what other replicas have stored by now; where that cannot be had soon, `hasForgotten` says so. */
  async currentFacts(): Promise<RuleFacts> {
    const askedAtMs = performance.now();
    const keep = async () => {
      await this.#keeping;
      await this.keep('asked');
    };
    const ending = new AbortController();
    await Promise.race([keep(), wait(MAX_ASKED_MS, undefined, { signal: ending.signal, ref: false }).catch(() => {})]);
    ending.abort();
    const facts = this.facts();
    return { ...facts, hasForgotten: facts.hasForgotten || this.#currentAtMs < askedAtMs };
  }

  /** As of the last look at what is in force. */
  facts(): RuleFacts {
    void this.#look();
    const { mesh } = this.#options;
    const { heard, unheard, hasForgotten } = this.#sidecars();
    const rules = [...this.#uses.values()].map(({ lastMatchedMs, sinceMs, shared, ...use }) => ({
      ...use,
      unshared: use.matches - shared.matches,
      lastMatched: lastMatchedMs === undefined ? null : isoOf(lastMatchedMs),
      inForceSince: isoOf(sinceMs),
    }));
    rules.sort((one, other) => compare(one.policy, other.policy) || one.rule - other.rule);
    const observedSince = isoOf(this.#observedSinceMs);
    return { rootNamespace: mesh.rootNamespace, observedSince, rules, heard, unheard, hasForgotten };
  }

  /** Stores what is known, one write at a time. */
  keep(occasion: WriteOccasion = 'due'): Promise<void> {
    this.#keeping ??= this.#keep(occasion).finally(() => {
      this.#keeping = undefined;
    });
    return this.#keeping;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#keeping;
    await this.keep('last');
  }

  async #keep(occasion: WriteOccasion): Promise<void> {
    const beganAtMs = performance.now();
    await this.#look();
    const { heard, unheard } = this.#sidecars();
    const stored = {
      savedAtMs: this.#options.now(),
      observedSinceMs: this.#observedSinceMs,
      rules: [...this.#uses.values()],
      sidecars: [...heard, ...unheard],
    };
    const { observedSinceMs, isBehind } = await this.#options.store.write(stored, occasion);
    this.#observedSinceMs = observedSinceMs;
    if (occasion === 'asked' && !isBehind) this.#currentAtMs = beganAtMs;
  }

  #sidecars() {
    const { survey, isGone, serving, now } = this.#options;
    const { sidecars, forgotten } = survey.answer([]);
    const heard = new Set(sidecars.filter(({ isConnected }) => isConnected).map(({ name }) => name));
    if (serving !== undefined) {
      const unheard = [...serving()].filter((name) => !heard.has(name));
      return { heard: [...heard], unheard, hasForgotten: false };
    }
    for (const [name, untilMs] of this.#awaited) {
      if (untilMs <= now() || heard.has(name) || isGone(name)) this.#awaited.delete(name);
    }
    const absent = sidecars.filter(({ name, isConnected }) => !isConnected && !heard.has(name) && !isGone(name));
    const unheard = new Set([...absent.map(({ name }) => name), ...this.#awaited.keys()]);
    return { heard: [...heard], unheard: [...unheard], hasForgotten: forgotten > 0 };
  }

  *#restore(): Generator<void, void> {
    for (const use of this.#restored) {
      this.#uses.set(nameOf(use), { ...use });
      yield;
    }
    this.#restored = [];
  }

  /** Takes in what is in force now. */
  async #look(): Promise<void> {
    const resources = this.#options.resources();
    if (resources === this.#seen) return;
    this.#seen = resources;
    await runInSlices(this.#lookAt(resources));
  }

  *#lookAt(resources: readonly ResourceDocument[]): Generator<void, void> {
    const now = this.#options.now();
    const inForce = new Set<string>();
    for (const document of resources) {
      if (!document.key.startsWith('AuthorizationPolicy/')) continue;
      for (const given of rulesOf(document, this.#options.mesh)) {
        inForce.add(nameOf(given));
        const use = this.#useOf(given, given.rule, now);
        if (use !== undefined) Object.assign(use, given);
      }
      yield;
    }
    for (const name of this.#uses.keys()) if (!inForce.has(name)) this.#uses.delete(name);
  }

  #useOf(name: Pick<RuleUse, 'policy' | 'key'>, rule: number, now: number): RuleUse | undefined {
    const known = this.#uses.get(nameOf(name));
    if (known !== undefined || this.#uses.size >= MAX_KNOWN_RULES) return known;
    const { policy, key } = name;
    const facts = { policy, key, rule, action: '', isOnTrial: false };
    const use: RuleUse = { ...facts, matches: 0, lastMatchedMs: undefined, sinceMs: now, shared: NOT_SHARED };
    this.#uses.set(nameOf(use), use);
    return use;
  }
}

type GivenRule = Pick<RuleUse, 'policy' | 'rule' | 'key' | 'action' | 'isOnTrial'>;

const readRules = new WeakMap<ResourceDocument, readonly GivenRule[]>();

function rulesOf(document: ResourceDocument, mesh: Mesh): readonly GivenRule[] {
  const known = readRules.get(document);
  if (known !== undefined) return known;
  const rules = readDocuments([document], mesh).flatMap(({ any }) => {
    if (any.type !== 'AuthorizationPolicy') return [];
    const { namespace, name, spec, isOnTrial = false } = any.resource;
    const facts = { policy: `${namespace}/${name}`, action: spec.action, isOnTrial };
    return [...ruleKeys(any.resource)].map((key, rule) => ({ ...facts, rule, key }));
  });
  readRules.set(document, rules);
  return rules;
}

function nameOf({ policy, key }: Pick<RuleUse, 'policy' | 'key'>): string {
  return `${policy} ${key}`;
}

function isoOf(ms: number): string {
  return new Date(ms).toISOString();
}

function compare(one: string, other: string): number {
  return one === other ? 0 : one < other ? -1 : 1;
}
