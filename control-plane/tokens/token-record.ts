import { join } from 'node:path';
import { isSharedMode, readBoundedFile } from '#files/read-bounded-file.ts';
import { isRecord } from '#policy/schema/schema.ts';

const MAX_TOKEN_FILE_BYTES = 4 * 1024;
const FILE_NAME = /^([0-9a-f]{32})(\.json|\.used|\.revoked)$/;

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
  /** True: it is also good for changes of the root, and for revocations; otherwise for looking on. */
  readonly mayChangeAuthority?: true;
}

export type TokenRecord = (TokenGrant | OperatorGrant) & { readonly secretSha256: string };

/**
 * How the file of a token's record ends, which tells its state: a change of state is a rename, which of all who try one does. Used
 * and revoked ones keep their record until they expire, so that they can be told from tokens nobody knows.
 */
export const SUFFIX = { fresh: '.json', used: '.used', revoked: '.revoked' } as const;

export type TokenState = keyof typeof SUFFIX;

/** A token goes this way only, so that who looks for it in this order cannot miss it. */
export const STATES: readonly TokenState[] = ['fresh', 'used', 'revoked'];

export function recordPath(directory: string, id: string, state: TokenState): string {
  return join(directory, `${id}${SUFFIX[state]}`);
}

/** Undefined: the file is not a token's. */
export function tokenOfFile(name: string): { readonly id: string; readonly state: TokenState } | undefined {
  const [, id, suffix] = FILE_NAME.exec(name) ?? [];
  const state = STATES.find((candidate) => SUFFIX[candidate] === suffix);
  return id === undefined || state === undefined ? undefined : { id, state };
}

/** Undefined: there is none, or none that can be read. Throws where others than the owner could have written it, or read it. */
export async function readRecord(path: string): Promise<TokenRecord | undefined> {
  const file = await readBoundedFile(path, MAX_TOKEN_FILE_BYTES);
  if (file === undefined) return undefined;
  if (isSharedMode(file.mode)) {
    throw new Error(`${path}: mode ${file.mode.toString(8)} lets others read or write it; run chmod 600 ${path}`);
  }
  const value = jsonOf(file.text);
  return isTokenRecord(value) ? value : undefined;
}

export function isOperatorGrant(grant: TokenGrant | OperatorGrant): grant is OperatorGrant {
  return 'isOperator' in grant && grant.isOperator;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
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
