import { mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { isMissing, isSharedMode } from '#files/read-bounded-file.ts';
import { writeFileAtomically } from '#files/write-file-atomically.ts';
import {
  createJoinToken,
  formatJoinToken,
  hashOfSecret,
  isSecretOf,
  type JoinToken,
  parseJoinToken,
} from './join-token.ts';
import {
  isOperatorGrant,
  type OperatorGrant,
  readRecord,
  recordPath,
  STATES,
  type TokenGrant,
  type TokenRecord,
  type TokenState,
  tokenOfFile,
} from './token-record.ts';

/** Time to live of a token that does not state its own. */
export const DEFAULT_TOKEN_TTL_MS = 3_600_000;
export const MIN_TOKEN_TTL_MS = 1_000;
export const MAX_TOKEN_TTL_MS = 30 * 86_400_000;
/** Unexpired tokens one directory may hold; more are refused at issue. */
export const MAX_TOKENS = 10_000;

export type TokenRefusalCode =
  | 'token_malformed'
  | 'token_unknown'
  | 'token_used'
  | 'token_expired'
  | 'token_revoked'
  | 'token_wrong_kind';

export type TokenVerification<Grant = TokenGrant> =
  | { readonly kind: 'valid'; readonly grant: Grant }
  /** The reason is for the holder of a token: it tells nothing to who guesses. */
  | { readonly kind: 'invalid'; readonly code: TokenRefusalCode; readonly reason: string };

/** A token as operators see it: without its secret. */
export interface ListedToken {
  readonly id: string;
  readonly grant: TokenGrant | OperatorGrant;
  readonly state: TokenState;
  /** When it was used last; undefined: never, or revoked since. Uses of an operator's token are not kept. */
  readonly usedAtMs: number | undefined;
}

/** Tokens in a directory that the control plane and `lateral token` share. */
export interface TokenStore {
  /** Stores a new token's hash and returns the token; throws when the directory holds MAX_TOKENS. */
  issue(grant: TokenGrant | OperatorGrant): Promise<string>;
  /** Tells what a join token stands for, without using it up; an operator's token is none. */
  verify(text: string): Promise<TokenVerification>;
  /** Tells whether this is an operator's token; a join token is none. */
  verifyOperator(text: string): Promise<TokenVerification<OperatorGrant>>;
  /** Uses a verified token, up unless it is reusable. False: another caller was first, or it was revoked just now. */
  consume(text: string): Promise<boolean>;
  /** Those that have not expired, the first to expire first. */
  list(): Promise<readonly ListedToken[]>;
  /** The token is good for nothing from now on; `unknown`: there is no such, or it has expired. */
  revoke(id: string): Promise<'revoked' | 'unknown'>;
  /** Removes the records of expired tokens. */
  purge(): Promise<void>;
}

/** Opens (and makes, 0700) the directory of join tokens. Throws where others than the owner can look or write into it. */
export async function openTokenStore(directory: string, now: () => number): Promise<TokenStore> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const mode = (await stat(directory)).mode & 0o777;
  if (isSharedMode(mode)) {
    throw new Error(
      `${directory}: mode ${mode.toString(8)} lets others see or make tokens; run chmod 700 ${directory}`,
    );
  }
  const pathOf = (id: string, state: TokenState) => recordPath(directory, id, state);

  async function purge(): Promise<void> {
    for (const name of await readdir(directory)) {
      if (tokenOfFile(name) === undefined) continue;
      const record = await readRecord(join(directory, name));
      if (record !== undefined && record.expiresAtMs <= now()) await rm(join(directory, name), { force: true });
    }
  }

  async function find(text: string): Promise<FoundToken> {
    const token = parseJoinToken(text.trim());
    if (token === undefined) return invalid('token_malformed', 'is not of the form of a token (lateral.ID.SECRET)');
    for (const state of STATES) {
      const record = await readRecord(pathOf(token.id, state));
      if (record === undefined) continue;
      if (!isSecretOf(record.secretSha256, token.secret)) break;
      if (state === 'revoked') return invalid('token_revoked', 'was revoked; issue a new one if the workload may join');
      if (record.expiresAtMs > now()) return { kind: 'found', record, state };
      return invalid('token_expired', `expired at ${new Date(record.expiresAtMs).toISOString()}`);
    }
    return invalid('token_unknown', 'is unknown here (it was issued elsewhere, or expired and was removed)');
  }

  /** False: somebody else was first. */
  async function move(id: string, from: TokenState, to: TokenState): Promise<boolean> {
    try {
      // Of all who try, the system lets one rename succeed.
      await rename(pathOf(id, from), pathOf(id, to));
      return true;
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
  }

  async function use(token: JoinToken): Promise<boolean> {
    const record = (await readRecord(pathOf(token.id, 'fresh'))) ?? (await readRecord(pathOf(token.id, 'used')));
    if (record === undefined || isOperatorGrant(record)) return false;
    if (!(await move(token.id, 'fresh', 'used')) && !record.isReusable) return false;
    const at = new Date(now());
    await utimes(pathOf(token.id, 'used'), at, at).catch((error: unknown) => {
      if (!isMissing(error)) throw error; // revoked just now, which counts from the next use on
    });
    return true;
  }

  return {
    purge,
    async issue(grant) {
      await purge();
      const held = (await readdir(directory)).length;
      if (held >= MAX_TOKENS) throw new Error(`${directory}: ${held} tokens reach the limit of ${MAX_TOKENS}`);
      const token = createJoinToken();
      const record: TokenRecord = { ...grant, secretSha256: hashOfSecret(token.secret) };
      await writeFileAtomically(pathOf(token.id, 'fresh'), `${JSON.stringify(record)}\n`);
      return formatJoinToken(token);
    },
    async verify(text) {
      const found = await find(text);
      if (found.kind === 'invalid') return found;
      if (isOperatorGrant(found.record)) {
        const reason = "is an operator's token, which proves no workload; issue one without --operator";
        return invalid('token_wrong_kind', reason);
      }
      if (found.state === 'used' && !found.record.isReusable) {
        return invalid('token_used', 'was used already; it is good for one use, so issue a new one');
      }
      return { kind: 'valid', grant: found.record };
    },
    async verifyOperator(text) {
      const found = await find(text);
      if (found.kind === 'invalid') return found;
      if (isOperatorGrant(found.record)) return { kind: 'valid', grant: found.record };
      const reason = "is a workload's, not an operator's; `lateral token --operator` issues one";
      return invalid('token_wrong_kind', reason);
    },
    async consume(text) {
      const token = parseJoinToken(text.trim());
      return token === undefined ? false : use(token);
    },
    async list() {
      const listed: ListedToken[] = [];
      for (const name of await readdir(directory)) {
        const token = tokenOfFile(name);
        const record = token === undefined ? undefined : await readRecord(join(directory, name));
        if (token === undefined || record === undefined || record.expiresAtMs <= now()) continue;
        const { secretSha256: _, ...grant } = record;
        const usedAtMs = token.state === 'used' ? await writtenAtMs(join(directory, name)) : undefined;
        listed.push({ ...token, grant, usedAtMs });
      }
      return listed.sort((one, other) => one.grant.expiresAtMs - other.grant.expiresAtMs);
    },
    async revoke(id) {
      for (const state of STATES) {
        const record = await readRecord(pathOf(id, state));
        if (record === undefined) continue;
        if (record.expiresAtMs <= now()) return 'unknown';
        if (state === 'revoked' || (await move(id, state, 'revoked'))) return 'revoked';
      }
      return 'unknown';
    },
  };
}

async function writtenAtMs(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).mtimeMs;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

type FoundToken =
  | { readonly kind: 'found'; readonly record: TokenRecord; readonly state: TokenState }
  | Extract<TokenVerification, { readonly kind: 'invalid' }>;

function invalid(code: TokenRefusalCode, reason: string): Extract<TokenVerification, { readonly kind: 'invalid' }> {
  return { kind: 'invalid', code, reason: `token ${reason}` };
}
