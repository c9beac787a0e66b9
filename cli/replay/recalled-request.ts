import { requestClaims } from '#policy/authentication/request-claims.ts';
import type { Certainty, Doubt, DoubtfulPart } from '#policy/authorization/doubt.ts';
import { headerValue } from '#policy/http/flat-headers.ts';
import { remoteIp } from '#policy/http/remote-ip.ts';
import { normalizePath, type PathResult } from '#policy/path/normalize-path.ts';
import { isRecord } from '#policy/schema/schema.ts';
import type { AuthorizationRequest, EffectiveDefaults, RequestClaims } from '#policy/workload-policy.ts';
import { allowedBy } from './recorded-answers.ts';
import type { RecordedRequest } from './recorded-line.ts';

/** A recorded request as authorization would see it now, as far as its record tells. */
export interface RecalledRequest {
  readonly asked: AuthorizationRequest;
  readonly doubt: RecordDoubt;
  /** Before providers were asked: what those who allowed it changed is recorded, what was there before is not. */
  readonly doubtBefore: RecordDoubt;
  /** Refused before authorization by the mesh's rule of paths; undefined: it is not. */
  readonly ambiguity: string | undefined;
}

/** How sidecars write a secret, or what is too long. */
const HASHED = /^hmac:[0-9a-f]{16}$/;
/** How sidecars end what they cut. */
const CUT = '…';
const REDACTED = '[redacted]';
/** Of lines of older versions: longer header values were cut there. */
const FORMER_MAX_LENGTH = 4_096;

/** Fields of one name: a head has no more. */
const MAX_FIELDS = 1_000;

/** What a record lacks, and which of that was asked for. */
export class RecordDoubt implements Doubt {
  readonly missing = new Set<string>();
  readonly #parts: ReadonlySet<DoubtfulPart>;
  readonly #inputs: RecordedRequest['inputs'];
  readonly #isHttp: boolean;

  constructor(parts: ReadonlySet<DoubtfulPart>, inputs: RecordedRequest['inputs'], isHttp: boolean) {
    this.#parts = parts;
    this.#inputs = inputs;
    this.#isHttp = isHttp;
  }

  of(part: DoubtfulPart): Certainty {
    return this.#parts.has(part) ? this.#lacks(part, 'unknown') : 'known';
  }

  ofHeader(lowerName: string): Certainty {
    if (!this.#isHttp) return 'known';
    const certainty = headerCertainty(this.#inputs, lowerName);
    return certainty === 'known' ? certainty : this.#lacks(`header ${lowerName}`, certainty);
  }

  ofClaim(names: readonly string[]): Certainty {
    if (!this.#isHttp) return 'known';
    const certainty = claimCertainty(this.#inputs, names);
    return certainty === 'known' ? certainty : this.#lacks(`claim ${names.join('.')}`, certainty);
  }

  #lacks(name: string, certainty: Certainty): Certainty {
    this.missing.add(name);
    return certainty;
  }
}

export function recallRequest(recorded: RecordedRequest, defaults: EffectiveDefaults): RecalledRequest {
  const { method, host, sourceIp, inputs, source, port } = recorded;
  const unknown = new Set<DoubtfulPart>();
  const isHttp = method !== null;
  const headers = isHttp ? headersOf(inputs) : [];
  const client = remoteIpOf(recorded, headers, defaults.trustedProxies);
  if (sourceIp === undefined) unknown.add('sourceIp');
  if (client === undefined) unknown.add('remoteIp');
  for (const part of ['sni', 'destinationIp'] as const) {
    if (typeof inputs[part] !== 'string' && !isComplete(inputs)) unknown.add(part);
  }
  const { path, query } = isHttp ? targetOf(recorded, defaults) : { path: undefined, query: undefined };
  if (isHttp && path === undefined) unknown.add('path');
  if (isHttp && query === undefined) unknown.add('query');
  if (host.endsWith(CUT)) unknown.add('host');
  const asked = {
    ...{ source, port, sourceIp, remoteIp: client, headers },
    method: method ?? undefined,
    path: path?.kind === 'normal' ? path.path : undefined,
    query: query === '' ? undefined : query,
    host: isHttp && !unknown.has('host') ? host : undefined,
    destinationIp: textOf(inputs.destinationIp),
    sni: textOf(inputs.sni),
    claims: isHttp ? claimsOf(inputs) : undefined,
  };
  const ambiguity = path?.kind === 'ambiguous' ? path.reason : undefined;
  const isChanged = allowedBy(recorded.providers).length > 0;
  return {
    ...{ asked, ambiguity, doubt: new RecordDoubt(unknown, inputs, isHttp) },
    doubtBefore: isChanged
      ? new RecordDoubt(new Set([...unknown, 'query' as const]), { ...inputs, headers: undefined }, isHttp)
      : new RecordDoubt(unknown, inputs, isHttp),
  };
}

/** What is not there was not there: only lines of older versions leave out what they know. */
function isComplete({ workload }: RecordedRequest['inputs']): boolean {
  return isRecord(workload);
}

/** Path and query; undefined: what they were cannot be told. */
function targetOf({ path: target, inputs }: RecordedRequest, { pathNormalization }: EffectiveDefaults) {
  const mark = target.indexOf('?');
  const path = mark === -1 ? target : target.slice(0, mark);
  const given = mark === -1 ? '' : target.slice(mark + 1);
  const isQueryKnown = !given.endsWith(CUT) && !given.includes(REDACTED);
  const query = isQueryKnown && !path.endsWith(CUT) ? given : undefined;
  if (path.endsWith(CUT)) return { path: undefined, query };
  // What a path was before it was normalized in another way is not recorded.
  const recordedUnder = textOf(inputs.pathNormalization) ?? (isComplete(inputs) ? 'Refuse' : pathNormalization);
  const asIs: PathResult = { kind: 'normal', path };
  if (recordedUnder === pathNormalization || path === '*') return { path: asIs, query };
  return { path: recordedUnder === 'NONE' ? normalizePath(path, pathNormalization) : undefined, query };
}

function headersOf({ headers }: RecordedRequest['inputs']): string[] {
  if (!isRecord(headers)) return [];
  return Object.entries(headers).flatMap(([name, value]) =>
    (valuesOf(value) ?? []).flatMap((one) => (HASHED.test(one) ? [] : [name, one])),
  );
}

/** Of one field or several of a name; undefined: no value was ever written so. */
function valuesOf(value: unknown): readonly string[] | undefined {
  if (typeof value === 'string') return [value];
  if (!Array.isArray(value) || value.length > MAX_FIELDS) return undefined;
  return value.every((one) => typeof one === 'string') ? value : undefined;
}

function headerCertainty(inputs: RecordedRequest['inputs'], name: string): Certainty {
  const { headers } = inputs;
  if (!isRecord(headers) || !Object.hasOwn(headers, name)) return 'unknown';
  const value = headers[name];
  if (value === null) return 'known';
  const values = valuesOf(value);
  if (values === undefined) return 'unknown';
  if (values.some((one) => HASHED.test(one))) return 'withheld';
  // Several fields of a name were not joined as rules see them.
  const isJoined = (one: string) => one.includes(', ') || one.length >= FORMER_MAX_LENGTH;
  const isDoubtful = !isComplete(inputs) && values.some(isJoined);
  return isDoubtful ? 'withheld' : 'known';
}

/** By as many proxies as are trusted now; undefined: it cannot be told. */
function remoteIpOf(
  { sourceIp, inputs, method }: RecordedRequest,
  headers: readonly string[],
  trustedProxies: number,
): string | undefined {
  if (trustedProxies === 0 || method === null || sourceIp === undefined) return sourceIp;
  if (inputs.trustedProxies === trustedProxies && typeof inputs.remoteIp === 'string') return inputs.remoteIp;
  const forwarded = headerCertainty(inputs, 'x-forwarded-for');
  if (forwarded !== 'known') return undefined;
  const value = headerValue(headers, 'x-forwarded-for');
  return value === undefined ? sourceIp : remoteIp(headers, sourceIp, trustedProxies);
}

/** Of a verified token; undefined: none came, or nobody looked. */
function claimsOf({ claims }: RecordedRequest['inputs']): RequestClaims | undefined {
  return isRecord(claims) ? requestClaims(claims) : undefined;
}

function claimCertainty({ claims, claimPaths }: RecordedRequest['inputs'], names: readonly string[]): Certainty {
  if (claims === null) return 'known';
  if (!isRecord(claims)) return 'unknown';
  const paths = Array.isArray(claimPaths) ? claimPaths : [];
  const isRecorded = paths.some((path) => Array.isArray(path) && path.every((step, index) => names[index] === step));
  let value: unknown = claims;
  for (const name of names) {
    if (!isRecord(value)) break;
    value = Object.hasOwn(value, name) ? value[name] : undefined;
  }
  if (typeof value === 'string' && HASHED.test(value)) return 'withheld';
  // Lines of older versions do not say what they looked for: what is there was.
  if (!Array.isArray(claimPaths)) return value === undefined || isRecord(value) ? 'unknown' : 'known';
  return isRecorded ? 'known' : 'unknown';
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
