import { readJsonFile } from '#files/read-json-file.ts';
import { writeFileAtomically } from '#files/write-file-atomically.ts';
import { isRecord } from '#policy/schema/schema.ts';
import { NOT_SHARED, type RuleUse } from './rule-use.ts';

/** Largest file that is read back: 100,000 rules. */
const MAX_FILE_BYTES = 64 * 1024 * 1024;
const FORMAT = 1;

/** What outlasts a restart. Times are milliseconds since the epoch. */
export interface StoredRules {
  readonly savedAtMs: number;
  readonly observedSinceMs: number;
  readonly rules: readonly RuleUse[];
  /** NAMESPACE/NAME of those that were connected, or could still serve. */
  readonly sidecars: readonly string[];
}

/** Why something is stored: its time has come, somebody wants to know, or nothing is written after it. */
export type WriteOccasion = 'due' | 'asked' | 'last';

export interface WriteOutcome {
  /** Since when it is observed, by all who share the store. */
  readonly observedSinceMs: number;
  /** The uses may lack what others stored. */
  readonly isBehind: boolean;
}

export interface RuleUseStore {
  /** Undefined: nothing is stored, or nothing that could be read. */
  read(): Promise<StoredRules | undefined>;
  /**
   * Never rejects: what cannot be stored is lost at the next restart. Of a store that is shared the uses then say what all know
   * together.
   */
  write(stored: StoredRules, occasion: WriteOccasion): Promise<WriteOutcome>;
}

/** Everything is forgotten at a restart, and observed anew. */
export const NO_STORE: RuleUseStore = {
  read: async () => undefined,
  write: async ({ observedSinceMs }) => ({ observedSinceMs, isBehind: false }),
};

/** `onFailed` is told each failure to write. */
export function ruleUseFile(path: string, onFailed: (reason: string) => void): RuleUseStore {
  return {
    async read() {
      return storedFrom(await readJsonFile(path, MAX_FILE_BYTES).catch(() => undefined));
    },
    async write(stored) {
      const rules = stored.rules.map(({ shared: _, ...rule }) => rule);
      const text = `${JSON.stringify({ format: FORMAT, ...stored, rules })}\n`;
      await writeFileAtomically(path, text).catch((error: unknown) => onFailed(String(error)));
      return { observedSinceMs: stored.observedSinceMs, isBehind: false };
    },
  };
}

function storedFrom(value: unknown): StoredRules | undefined {
  if (!isRecord(value) || value.format !== FORMAT) return undefined;
  const { savedAtMs, observedSinceMs, rules, sidecars } = value;
  if (typeof savedAtMs !== 'number' || typeof observedSinceMs !== 'number') return undefined;
  if (!Array.isArray(rules) || !Array.isArray(sidecars)) return undefined;
  const uses = rules.map(ruleFrom);
  if (!uses.every((use) => use !== undefined) || !sidecars.every((name) => typeof name === 'string')) return undefined;
  return { savedAtMs, observedSinceMs, rules: uses, sidecars };
}

function ruleFrom(value: unknown): RuleUse | undefined {
  if (!isRecord(value)) return undefined;
  const { policy, rule, key, action, isOnTrial, matches, lastMatchedMs, sinceMs } = value;
  if (typeof policy !== 'string' || typeof key !== 'string' || typeof action !== 'string') return undefined;
  if (typeof rule !== 'number' || typeof matches !== 'number' || typeof sinceMs !== 'number') return undefined;
  const last = typeof lastMatchedMs === 'number' ? lastMatchedMs : undefined;
  return {
    policy,
    rule,
    key,
    action,
    isOnTrial: isOnTrial === true,
    matches,
    lastMatchedMs: last,
    sinceMs,
    shared: NOT_SHARED,
  };
}
