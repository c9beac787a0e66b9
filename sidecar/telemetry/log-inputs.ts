import { createHmac } from 'node:crypto';
import type { ClaimPath } from '#policy/authentication/referred-claims.ts';
import { claimAt } from '#policy/authentication/request-claims.ts';
import { type FlatHeaders, headerValues } from '#policy/http/flat-headers.ts';
import { isCredential } from '#policy/http/is-credential.ts';
import { isSecretName } from '#policy/http/is-secret-name.ts';
import { remoteIp } from '#policy/http/remote-ip.ts';
import type { RequestClaims, Workload, WorkloadPolicy } from '#policy/workload-policy.ts';
import type { Caller } from '../http/message.ts';

/** Longest value that is kept: a longer one is hashed as secrets are, and cannot be replayed. */
const MAX_VALUE_LENGTH = 4_096;
/** Hex digits of a hashed secret: enough to compare, useless to invert. */
const SECRET_HASH_LENGTH = 16;
/** Members of a claim are looked at to this depth; a deeper one is hashed. */
const MAX_LOOKED_DEPTH = 100;
/** Longest labels that are written in every line; longer ones are left out, and `lateral replay` must be told. */
const MAX_LABELS_LENGTH = 1_024;

/** What is looked at of an exchange. */
export interface Inputs {
  readonly headers: FlatHeaders;
  readonly claims: RequestClaims | undefined;
  readonly policy: Pick<WorkloadPolicy, 'referredHeaders' | 'referredClaims' | 'defaults'>;
  readonly caller: Pick<Caller, 'address' | 'serverName'>;
  readonly destinationIp: string | undefined;
}

/** What is looked at of a TCP connection. */
export type ConnectionInputs = Pick<Inputs, 'caller' | 'destinationIp'>;

type Hash = (value: string) => string;

/**
 * What authorization looked at and the rest of a log line does not tell, as JSON: what `lateral replay` needs. Header values and claims
 * are those alone that some policy looks at, what is secret, by its name or as a credential, is hashed.
 */
export class LogInputs {
  readonly #hash: Hash;
  /** The part that is the same in all lines. */
  readonly #workload: string;
  /** Most lines: no header, no claim, no server name. */
  readonly #nothingElse: string;
  /** Of each version of the policy: whether a name is secret is not found out at each request. */
  readonly #named = new WeakMap<readonly string[], readonly NamedHeader[]>();

  /** `key`: of the hashes; it lives and dies with the process. */
  constructor(key: Uint8Array, { namespace, name, labels }: Pick<Workload, 'namespace' | 'name' | 'labels'>) {
    this.#hash = (value) =>
      `hmac:${createHmac('sha256', key).update(value).digest('hex').slice(0, SECRET_HASH_LENGTH)}`;
    const isLong = JSON.stringify(labels).length > MAX_LABELS_LENGTH;
    this.#workload = `{"workload":${JSON.stringify({ namespace, name, ...(isLong ? {} : { labels }) })}`;
    this.#nothingElse = `${this.#workload}}`;
  }

  /**
   * `headers`: null for those that are not there, a list where several fields have the name. `claims`: null where no valid token came, absent where no policy looks at any;
   * `claimPaths`: which were looked for. `remoteIp`, with the number of proxies that are trusted: absent where none is.
   */
  of({ headers, claims, policy, caller, destinationIp }: Inputs): string {
    const { referredHeaders, referredClaims, defaults } = policy;
    const { trustedProxies, pathNormalization } = defaults;
    let text = this.ofConnection({ caller, destinationIp }).slice(0, -1);
    if (pathNormalization !== 'Refuse') text += `,"pathNormalization":"${pathNormalization}"`;
    if (trustedProxies > 0) {
      text += `,"remoteIp":${JSON.stringify(remoteIp(headers, caller.address, trustedProxies))},"trustedProxies":${trustedProxies}`;
    }
    if (referredHeaders.length > 0) text += `,"headers":{${this.#headersOf(headers, referredHeaders)}}`;
    if (referredClaims.length > 0) {
      text += `,"claims":${JSON.stringify(claimsOf(claims, referredClaims, this.#hash))}`;
      if (claims !== undefined) text += `,"claimPaths":${JSON.stringify(referredClaims)}`;
    }
    return `${text}}`;
  }

  #headersOf(headers: FlatHeaders, names: readonly string[]): string {
    const known = this.#named.get(names);
    const named = known ?? names.map(namedHeader);
    if (known === undefined) this.#named.set(names, named);
    let text = '';
    for (const { lowerName, key, isSecret } of named) {
      const value = headerValues(headers, lowerName);
      const one = (text: string) =>
        isSecret || text.length > MAX_VALUE_LENGTH || isCredential(text) ? this.#hash(text) : text;
      const shown = JSON.stringify(typeof value === 'string' ? one(value) : (value?.map(one) ?? null));
      text += text === '' ? `${key}:${shown}` : `,${key}:${shown}`;
    }
    return text;
  }

  /** The same of a TCP connection. `sni` and `destinationIp`: absent where there is none. */
  ofConnection({ caller: { serverName }, destinationIp }: ConnectionInputs): string {
    if (serverName === undefined && destinationIp === undefined) return this.#nothingElse;
    const sni = serverName === undefined ? '' : `,"sni":${JSON.stringify(serverName)}`;
    const destination = destinationIp === undefined ? '' : `,"destinationIp":${JSON.stringify(destinationIp)}`;
    return `${this.#workload}${sni}${destination}}`;
  }
}

interface NamedHeader {
  readonly lowerName: string;
  /** As JSON has it. */
  readonly key: string;
  readonly isSecret: boolean;
}

function namedHeader(lowerName: string): NamedHeader {
  return { lowerName, key: JSON.stringify(lowerName), isSecret: isSecretName(lowerName) };
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
  const isHashed =
    path.some(isSecretName) || hasSecretMember(value) || text.length > MAX_VALUE_LENGTH || isCredential(text);
  return isHashed ? hash(typeof value === 'string' ? value : text) : value;
}

/** Of objects and lists, at any depth: a condition may look at a claim whole. */
function hasSecretMember(value: unknown, depth = 0): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (depth > MAX_LOOKED_DEPTH) return true;
  return Object.entries(value).some(([name, member]) => isSecretName(name) || hasSecretMember(member, depth + 1));
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
