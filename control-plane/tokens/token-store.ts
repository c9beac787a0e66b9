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

/** What a token stands for. */
export interface TokenGrant {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly expiresAtMs: number;
  readonly isReusable: boolean;
}

export type TokenVerification =
  | { readonly kind: 'valid'; readonly grant: TokenGrant }
  /** The reason is for the holder of a token: it tells nothing to who guesses. */
  | { readonly kind: 'invalid'; readonly reason: string };

/** Join tokens in a directory that the control plane and `lateral token` share. */
export interface TokenStore {
  /** Stores a new token's hash and returns the token; throws when the directory holds MAX_TOKENS. */
  issue(grant: TokenGrant): Promise<string>;
  /** Tells what a token stands for, without using it up. */
  verify(text: string): Promise<TokenVerification>;
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
      const token = parseJoinToken(text.trim());
      if (token === undefined) return invalid('is not of the form of a join token');
      const usable = await readRecord(pathOf(token.id, USABLE));
      const record = usable ?? (await readRecord(pathOf(token.id, USED)));
      if (record === undefined || !isSecretOf(record.secretSha256, token.secret)) {
        return invalid('is unknown here (it was issued elsewhere, or expired and was removed)');
      }
      if (record.expiresAtMs <= now()) return invalid(`expired at ${new Date(record.expiresAtMs).toISOString()}`);
      if (usable === undefined) return invalid('was used already; it is good for one use, so issue a new one');
      return { kind: 'valid', grant: record };
    },
    async consume(text) {
      const token = parseJoinToken(text.trim());
      if (token === undefined) return false;
      return useUp(token);
    },
  };

  async function useUp(token: JoinToken): Promise<boolean> {
    const record = await readRecord(pathOf(token.id, USABLE));
    if (record === undefined) return false;
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

interface TokenRecord extends TokenGrant {
  readonly secretSha256: string;
}

async function readRecord(path: string): Promise<TokenRecord | undefined> {
  const value = await readJsonFile(path, MAX_TOKEN_FILE_BYTES);
  return isTokenRecord(value) ? value : undefined;
}

function isTokenRecord(value: unknown): value is TokenRecord {
  return (
    isRecord(value) &&
    typeof value.namespace === 'string' &&
    typeof value.serviceAccount === 'string' &&
    typeof value.expiresAtMs === 'number' &&
    typeof value.isReusable === 'boolean' &&
    typeof value.secretSha256 === 'string'
  );
}

function invalid(reason: string): TokenVerification {
  return { kind: 'invalid', reason: `join token ${reason}` };
}
