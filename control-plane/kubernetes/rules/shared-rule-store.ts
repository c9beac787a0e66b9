import { setTimeout as wait } from 'node:timers/promises';
import { runInSlices } from '#files/run-in-slices.ts';
import type { RuleUse } from '../../observation/rule-use.ts';
import type { RuleUseStore, StoredRules } from '../../observation/rule-use-store.ts';
import { MAX_ABSENCE_MS } from '../../observation/rule-uses.ts';
import { isUnavailable } from '../client/api-error.ts';
import type { KubernetesClient } from '../client/kubernetes-client.ts';
import { KubernetesConfigMap } from './config-map.ts';
import { packPart, type RulePart, type SharedRule, unpackPart } from './rule-part.ts';

/** Made by the chart, empty. Far more than the bytes need: each is read and written at once, and garbage of many rules stops the thread. */
export const RULE_CONFIG_MAPS = Array.from({ length: 16 }, (_, part) => `lateral-rule-matches-${part}`);
const KEY = 'rules.gz';
/** How often counts are added to those of all replicas. */
export const SHARE_INTERVAL_MS = 60_000;
/** A match after so long a silence is shared at once: else the end of a replica could make a rule seem unused. */
export const SILENCE_MS = 3_600_000;
/** A rule that is not in force here may be so new that this replica has not heard of it; an older one is gone. */
export const NEW_RULE_MS = 600_000;
/** Others may write between reading and writing; what is not shared then is shared next time. */
const MAX_ATTEMPTS = 6;
const LONGEST_PAUSE_MS = 400;
/** One round; a start and an end wait for it. */
const ROUND_TIMEOUT_MS = 10_000;
const RULES_A_STEP = 200;

export interface SharedRuleStoreOptions {
  readonly client: KubernetesClient;
  readonly namespace: string;
  /** When a control plane of this cluster was last seen to be there; undefined: never. May reject. */
  readonly lastSeenMs: () => Promise<number | undefined>;
  readonly now: () => number;
  /** Told why something could not be read or stored, once until it could. */
  readonly onFailed: (reason: string) => void;
}

interface Part {
  readonly configMap: KubernetesConfigMap;
  sharedAtMs: number;
  /** Which rules, and since when they are observed, as it was shared last; undefined: it is to be looked at again. */
  shared: string | undefined;
  /** Rules that found no room. */
  left: number;
}

/** What a part holds from now on; `uses`: of the rules in their order, with their matches as they are told now. */
interface Plan {
  readonly part: RulePart;
  readonly uses: readonly ({ readonly use: RuleUse; readonly told: number } | undefined)[];
  /** A rule is kept that is not in force here. */
  readonly hasStrange: boolean;
}

/**
 * What all replicas of a control plane count, in ConfigMaps that each adds to. A replica that is killed loses what it had not
 * added: counts of a minute, of no rule all that it did within SILENCE_MS and a look.
 *
 * An addition whose answer is lost is made again, and then counts twice: a rule may seem used more than it is, never less.
 */
export function sharedRuleStore(options: SharedRuleStoreOptions): RuleUseStore {
  const { client, namespace, now } = options;
  const parts: readonly Part[] = RULE_CONFIG_MAPS.map((name) => ({
    configMap: new KubernetesConfigMap(client, namespace, name, KEY),
    sharedAtMs: Number.NEGATIVE_INFINITY,
    shared: undefined,
    left: 0,
  }));
  const failures = new Map<Part | undefined, string>();
  const failed = (of: Part | undefined, reason: string): void => {
    if (reason !== '' && reason !== failures.get(of)) options.onFailed(reason);
    failures.set(of, reason);
  };
  return {
    async read() {
      try {
        return await read(parts, options);
      } catch (error) {
        failed(undefined, error instanceof Error ? error.message : String(error));
        return undefined;
      }
    },
    async write({ rules, observedSinceMs }, occasion) {
      const groups = await runInSlices(grouped(rules, parts.length));
      const signal = AbortSignal.timeout(ROUND_TIMEOUT_MS);
      let sinceMs = observedSinceMs;
      let isBehind = false;
      for (const [index, part] of parts.entries()) {
        const group = groups[index];
        if (group === undefined || (occasion === 'due' && !isDue(part, group, now()))) continue;
        if (occasion !== 'asked' && !group.hasNews && part.shared === sharedOf(group, sinceMs)) continue;
        try {
          const outcome = await share(part.configMap, group.uses, sinceMs, now(), signal);
          sinceMs = Math.max(sinceMs, outcome.observedSinceMs);
          part.shared = outcome.hasStrange ? undefined : sharedOf(group, sinceMs);
          part.sharedAtMs = now();
          part.left = outcome.left;
          failed(
            part,
            outcome.left > 0 ? `${outcome.left} rules find no room in ConfigMap ${part.configMap.name}` : '',
          );
        } catch (error) {
          isBehind = true;
          failed(part, error instanceof Error ? error.message : String(error));
          if (isUnavailable(error)) break;
        }
      }
      return { observedSinceMs: sinceMs, isBehind };
    },
  };
}

/** A rule that there is no room for has always news: it must not hurry. */
function isDue({ sharedAtMs, left }: Part, { isUrgent }: Group, nowMs: number): boolean {
  return (isUrgent && left === 0) || nowMs - sharedAtMs >= SHARE_INTERVAL_MS;
}

function sharedOf({ signature }: Group, observedSinceMs: number): string {
  return `${signature} ${observedSinceMs}`;
}

/** Observed anew from now on where a part cannot be read, or nobody was there for too long; what was counted is kept. */
async function read(parts: readonly Part[], options: SharedRuleStoreOptions): Promise<StoredRules> {
  const signal = AbortSignal.timeout(ROUND_TIMEOUT_MS);
  const nowMs = options.now();
  const lastSeenMs = await options.lastSeenMs();
  const known: (RulePart | undefined)[] = [];
  for (const { configMap } of parts) {
    const value = (await configMap.read(signal))?.value;
    known.push(value === undefined ? undefined : await unpackPart(value));
  }
  const isSeen = lastSeenMs !== undefined && nowMs - lastSeenMs <= MAX_ABSENCE_MS;
  const sinceMs = isSeen ? known.map((part) => part?.observedSinceMs ?? nowMs) : [nowMs];
  const rules = known.flatMap((part) => part?.rules ?? []);
  return {
    savedAtMs: nowMs,
    observedSinceMs: Math.max(...sinceMs),
    rules: await runInSlices(usesOf(rules)),
    sidecars: [],
  };
}

function* usesOf(rules: readonly SharedRule[]): Generator<void, readonly RuleUse[]> {
  const uses: RuleUse[] = [];
  for (const { matches, lastMatchedMs, ...rule } of rules) {
    const facts = { rule: 0, action: '', isOnTrial: false, matches, lastMatchedMs }; // the first look at what is in force says
    if (uses.push({ ...rule, ...facts, shared: { matches, lastMatchedMs } }) % RULES_A_STEP === 0) yield;
  }
  return uses;
}

interface Group {
  readonly uses: RuleUse[];
  /** Another for another set of rules. */
  signature: number;
  hasNews: boolean;
  isUrgent: boolean;
}

function* grouped(rules: readonly RuleUse[], count: number): Generator<void, readonly Group[]> {
  const groups = Array.from({ length: count }, (): Group => {
    return { uses: [], signature: 0, hasNews: false, isUrgent: false };
  });
  for (const [index, use] of rules.entries()) {
    const hash = hashOf(`${use.policy} ${use.key}`);
    const group = groups[hash % count];
    if (group === undefined) continue;
    group.uses.push(use);
    group.signature = (group.signature + Math.floor(hash / count)) % Number.MAX_SAFE_INTEGER;
    const { matches, lastMatchedMs, shared } = use;
    group.hasNews ||= matches > shared.matches;
    group.isUrgent ||= matches > shared.matches && (lastMatchedMs ?? 0) - (shared.lastMatchedMs ?? 0) >= SILENCE_MS;
    if (index % RULES_A_STEP === 0) yield;
  }
  return groups;
}

/** FNV-1a, 32 bits: equal in all replicas. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return hash >>> 0;
}

/** Adds what was counted here to what is stored, and takes over what others have added. Throws with a sentence. */
async function share(
  configMap: KubernetesConfigMap,
  uses: readonly RuleUse[],
  observedSinceMs: number,
  nowMs: number,
  signal: AbortSignal,
): Promise<{ readonly observedSinceMs: number; readonly hasStrange: boolean; readonly left: number }> {
  for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
    const before = await configMap.read(signal);
    if (before === undefined) throw new Error(`there is no ConfigMap ${configMap.name}; the chart makes it, empty`);
    const known = before.value === undefined ? undefined : await unpackPart(before.value);
    const { part, uses: told, hasStrange } = await runInSlices(planned(known, uses, observedSinceMs, nowMs));
    const { bytes, stored } = await packPart(part);
    const isThere = before.value?.equals(bytes) === true;
    if (isThere || (await configMap.write(bytes, before, signal)) === 'written') {
      await runInSlices(taken(part.rules.slice(0, stored), told));
      return { observedSinceMs: part.observedSinceMs, hasStrange, left: part.rules.length - stored };
    }
    await wait(Math.random() * LONGEST_PAUSE_MS, undefined, { signal });
  }
  throw new Error(`others wrote ConfigMap ${configMap.name} ${MAX_ATTEMPTS} times between reading and writing it`);
}

function* planned(
  known: RulePart | undefined,
  uses: readonly RuleUse[],
  observedSinceMs: number,
  nowMs: number,
): Generator<void, Plan> {
  const own = new Map<string, RuleUse>();
  for (const use of uses) if (own.set(`${use.policy} ${use.key}`, use).size % RULES_A_STEP === 0) yield;
  const rules: SharedRule[] = [];
  const told: Plan['uses'][number][] = [];
  const add = (rule: SharedRule, use: RuleUse | undefined): void => {
    rules.push(rule);
    told.push(use && { use, told: use.matches });
  };
  let hasStrange = false;
  for (const rule of known?.rules ?? []) {
    const name = `${rule.policy} ${rule.key}`;
    const use = own.get(name);
    own.delete(name);
    if (use !== undefined) add(joined(rule, use), use);
    else if (nowMs - rule.sinceMs < NEW_RULE_MS) {
      add(rule, undefined);
      hasStrange = true;
    }
    if (rules.length % RULES_A_STEP === 0) yield;
  }
  for (const use of own.values()) {
    const { policy, key, matches, lastMatchedMs, sinceMs } = use;
    add({ policy, key, matches, lastMatchedMs, sinceMs }, use);
    if (rules.length % RULES_A_STEP === 0) yield;
  }
  const sinceMs = Math.max(observedSinceMs, known?.observedSinceMs ?? 0);
  return { part: { observedSinceMs: sinceMs, rules }, uses: told, hasStrange };
}

/** What is stored may be less than what was: the ConfigMap was emptied, and is filled again by those who know. */
function joined(rule: SharedRule, { matches, lastMatchedMs, sinceMs, shared }: RuleUse): SharedRule {
  return {
    policy: rule.policy,
    key: rule.key,
    matches: Math.max(rule.matches, shared.matches) + matches - shared.matches,
    lastMatchedMs: laterOf(rule.lastMatchedMs, lastMatchedMs),
    sinceMs: Math.min(rule.sinceMs, sinceMs),
  };
}

/** Now all replicas know it; what was counted meanwhile is still to be told. */
function* taken(rules: readonly SharedRule[], uses: Plan['uses']): Generator<void, void> {
  for (const [index, { matches, lastMatchedMs, sinceMs }] of rules.entries()) {
    const of = uses[index];
    if (of === undefined) continue;
    const { use, told } = of;
    use.matches += matches - told;
    use.lastMatchedMs = laterOf(use.lastMatchedMs, lastMatchedMs);
    use.sinceMs = sinceMs;
    use.shared = { matches, lastMatchedMs };
    if (index % RULES_A_STEP === 0) yield;
  }
}

function laterOf(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? (one ?? other) : Math.max(one, other);
}
