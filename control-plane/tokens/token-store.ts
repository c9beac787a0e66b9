import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isMissing } from '#files/read-bounded-file.ts';
import { readJsonFile } from '#files/read-json-file.ts';
import { writeFileAtomically } from '#files/write-file-atomically.ts';
import { isRecord } from '#policy/schema/schema.ts';
import {
  createJoinToken,
  formatJoinToken,
  hashOfSecret,
  isSecretOf,
  type JoinToken,
  parseJoinToken,
} from './join-token.ts';

/** Time to live of a token that does not state its own. */
export const DEFAULT_TOKEN_TTL_MS = 3_600_000;
export const MIN_TOKEN_TTL_MS = 1_000;
export const MAX_TOKEN_TTL_MS = 30 * 86_400_000;
/** Unexpired tokens one directory may hold; more are refused at issue. */
export const MAX_TOKENS = 10_000;
const MAX_TOKEN_FILE_BYTES = 4 * 1024;

const USABLE = '.json';
/** A token that was used keeps its record until it expires, so that a second use can be told from an unknown token. */
const USED = '.used';

/** What a join token stands for: one workload's identity. */
export interface TokenGrant {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly expiresAtMs: number;
  readonly isReusable: boolean;
}

/** What an operator's token stands for: the Operations service until it expires, and no identity. */
export interface OperatorGrant {
  readonly isOperator: true;
  readonly expiresAtMs: number;
}

export type TokenVerification<Grant = TokenGrant> =
  | { readonly kind: 'valid'; readonly grant: Grant }
  /** The reason is for the holder of a token: it tells nothing to who guesses. */
  | { readonly kind: 'invalid'; readonly reason: string };

/** Tokens in a directory that the control plane and `lateral token` share. */
export interface TokenStore {
  /** Stores a new token's hash and returns the token; throws when the directory holds MAX_TOKENS. */
  issue(grant: TokenGrant | OperatorGrant): Promise<string>;
  /** Tells what a join token stands for, without using it up; an operator's token is none. */
  verify(text: string): Promise<TokenVerification>;
  /** Tells whether this is an operator's token; a join token is none. */
  verifyOperator(text: string): Promise<TokenVerification<OperatorGrant>>;
  /** Uses a verified token up, unless it is reusable. False: another caller was first. */
  consume(text: string): Promise<boolean>;
  /** Removes the records of expired tokens. */
  purge(): Promise<void>;
}

/** Opens (and makes, 0700) the directory of join tokens. */
export async function openTokenStore(directory: string, now: () => number): Promise<TokenStore> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const pathOf = (id: string, suffix: string) => join(directory, `${id}${suffix}`);

  async function purge(): Promise<void> {
    for (const name of await readdir(directory)) {
      if (!name.endsWith(USABLE) && !name.endsWith(USED)) continue;
      const record = await readRecord(join(directory, name));
      if (record !== undefined && record.expiresAtMs <= now()) await rm(join(directory, name), { force: true });
    }
  }

  return {
    purge,
    async issue(grant) {
      await purge();
      const held = (await readdir(directory)).length;
      if (held >= MAX_TOKENS) throw new Error(`${directory}: ${held} tokens reach the limit of ${MAX_TOKENS}`);
      const token = createJoinToken();
      const record: TokenRecord = { ...grant, secretSha256: hashOfSecret(token.secret) };
      await writeFileAtomically(pathOf(token.id, USABLE), `${JSON.stringify(record)}\n`);
      return formatJoinToken(token);
    },
    async verify(text) {
      const found = await find(text);
      if (found.kind === 'invalid') return found;
      if (isOperatorGrant(found.record)) {
        return invalid("is an operator's token, which proves no workload; issue one without --operator");
      }
      if (!found.isUsable) return invalid('was used already; it is good for one use, so issue a new one');
      return { kind: 'valid', grant: found.record };
    },
    async verifyOperator(text) {
      const found = await find(text);
      if (found.kind === 'invalid') return found;
      if (isOperatorGrant(found.record)) return { kind: 'valid', grant: found.record };
      return invalid("is a workload's, not an operator's; `lateral token --operator` issues one");
    },
    async consume(text) {
      const token = parseJoinToken(text.trim());
      if (token === undefined) return false;
      return useUp(token);
    },
  };

  async function find(text: string): Promise<FoundToken> {
    const token = parseJoinToken(text.trim());
    if (token === undefined) return invalid('is not of the form of a token (lateral.ID.SECRET)');
    const usable = await readRecord(pathOf(token.id, USABLE));
    const record = usable ?? (await readRecord(pathOf(token.id, USED)));
    if (record === undefined || !isSecretOf(record.secretSha256, token.secret)) {
      return invalid('is unknown here (it was issued elsewhere, or expired and was removed)');
    }
    if (record.expiresAtMs <= now()) return invalid(`expired at ${new Date(record.expiresAtMs).toISOString()}`);
    return { kind: 'found', record, isUsable: usable !== undefined };
  }

  async function useUp(token: JoinToken): Promise<boolean> {
    const record = await readRecord(pathOf(token.id, USABLE));
    if (record === undefined || isOperatorGrant(record)) return false;
    if (record.isReusable) return true;
    try {
      // Of all who try, the system lets one rename succeed.
      await rename(pathOf(token.id, USABLE), pathOf(token.id, USED));
      return true;
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
  }
}

type TokenRecord = (TokenGrant | OperatorGrant) & { readonly secretSha256: string };

type FoundToken =
  | { readonly kind: 'found'; readonly record: TokenRecord; readonly isUsable: boolean }
  | Extract<TokenVerification, { readonly kind: 'invalid' }>;

async function readRecord(path: string): Promise<TokenRecord | undefined> {
  const value = await readJsonFile(path, MAX_TOKEN_FILE_BYTES);
  return isTokenRecord(value) ? value : undefined;
}

function isTokenRecord(value: unknown): value is TokenRecord {
  if (!isRecord(value) || typeof value.expiresAtMs !== 'number' || typeof value.secretSha256 !== 'string') return false;
  if (value.isOperator === true) return true;
  return (
    typeof value.namespace === 'string' &&
    typeof value.serviceAccount === 'string' &&
    typeof value.isReusable === 'boolean'
  );
}

function isOperatorGrant(grant: TokenGrant | OperatorGrant): grant is OperatorGrant {
  return 'isOperator' in grant && grant.isOperator;
}

function invalid(reason: string): Extract<TokenVerification, { readonly kind: 'invalid' }> {
  return { kind: 'invalid', reason: `token ${reason}` };
}
