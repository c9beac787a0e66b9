import { createHmac } from 'node:crypto';
import type { ClaimPath } from '#policy/authentication/referred-claims.ts';
import { claimAt } from '#policy/authentication/request-claims.ts';
import { type FlatHeaders, headerValue } from '#policy/http/flat-headers.ts';
import { isSecretName } from '#policy/http/is-secret-name.ts';
import type { RequestClaims, WorkloadPolicy } from '#policy/workload-policy.ts';

/** Longest value that is kept: a longer one is cut (headers) or left out (claims), and cannot be replayed. */
const MAX_VALUE_LENGTH = 4_096;
/** Hex digits of a hashed secret: enough to compare, useless to invert. */
const SECRET_HASH_LENGTH = 16;

/** What is looked at of an exchange. */
interface Inputs {
  readonly headers: FlatHeaders;
  readonly claims: RequestClaims | undefined;
  readonly policy: Pick<WorkloadPolicy, 'referredHeaders' | 'referredClaims'>;
}

type Hash = (value: string) => string;

/**
 * The header values and claims that some policy looks at, as JSON: what `lateral replay` needs. What is secret by its name is
 * hashed. `claims` is null where no valid token came, and absent where no policy looks at any.
 */
export function inputsOf(exchange: Inputs, key: Uint8Array): string {
  const { referredHeaders, referredClaims } = exchange.policy;
  if (referredHeaders.length === 0 && referredClaims.length === 0) return '{}';
  const hash: Hash = (value) =>
    `hmac:${createHmac('sha256', key).update(value).digest('hex').slice(0, SECRET_HASH_LENGTH)}`;
  return JSON.stringify({
    ...(referredHeaders.length === 0 ? {} : { headers: headersOf(exchange.headers, referredHeaders, hash) }),
    ...(referredClaims.length === 0 ? {} : { claims: claimsOf(exchange.claims, referredClaims, hash) }),
  });
}

function headersOf(headers: FlatHeaders, names: readonly string[], hash: Hash): object {
  const values: { [name: string]: string } = {};
  for (const name of names) {
    const value = headerValue(headers, name);
    if (value !== undefined) values[name] = isSecretName(name) ? hash(value) : value.slice(0, MAX_VALUE_LENGTH);
  }
  return values;
}

type Tree = { [name: string]: unknown };

function claimsOf(claims: RequestClaims | undefined, paths: readonly ClaimPath[], hash: Hash): Tree | null {
  if (claims === undefined) return null;
  const tree = newTree();
  for (const path of paths) {
    const value = shown(claimAt(claims.all, path), path, hash);
    if (value !== undefined) plant(tree, path, value);
  }
  return tree;
}

/** Names come from tokens and policies: none of them may be one that objects have anyway. */
function newTree(): Tree {
  return Object.create(null);
}

function shown(value: unknown, path: ClaimPath, hash: Hash): unknown {
  if (value === undefined) return undefined;
  const text = JSON.stringify(value);
  if (path.some(isSecretName)) return hash(typeof value === 'string' ? value : text);
  return text.length > MAX_VALUE_LENGTH ? undefined : value;
}

/** Shorter paths come first: where one leads to an object, the longer ones are within what is there already. */
function plant(tree: Tree, path: ClaimPath, value: unknown): void {
  let at = tree;
  for (const step of path.slice(0, -1)) {
    at[step] ??= newTree();
    const below = at[step];
    if (!isTree(below)) return;
    at = below;
  }
  at[path.at(-1) ?? ''] ??= value;
}

/** Made here, and no value of a claim. */
function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === null;
}
