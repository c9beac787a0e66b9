import { headerValues } from '../http/flat-headers.ts';
import { isSecretName } from '../http/is-secret-name.ts';
import { isJoinedHeader, joinedHeader } from '../http/joined-header.ts';
import type { AuthorizationRequest } from '../workload-policy.ts';
import type { AttributeReader, Seen } from './attribute.ts';
import { claimValue, requestPrincipal } from './claims.ts';
import type { Certainty, Doubt, DoubtfulPart } from './doubt.ts';
import { ipDigits } from './ip-digits.ts';

const NOT_HTTP = 'the connection is not HTTP';
const NO_IDENTITY = 'the caller has no identity';
const NO_TOKEN = 'the request has no valid token';

type Read = (request: AuthorizationRequest) => Seen;

/** Everything that rules look at, by name; headers and claims have functions of their own. */
export const ATTRIBUTES = {
  principal: () => plain(NO_IDENTITY, ({ source }) => source?.principal),
  trustDomain: () => plain(NO_IDENTITY, ({ source }) => source?.trustDomain),
  namespace: () => plain(NO_IDENTITY, ({ source }) => source?.namespace),
  /** Of the caller; shown as its namespace, of which alone policies speak so. */
  uri: () =>
    plain(
      NO_IDENTITY,
      ({ source }) => source?.uri,
      ({ source }) => source?.namespace,
    ),
  sourceIp: () => address('sourceIp', 'the address of the caller is not known', ({ sourceIp }) => sourceIp),
  remoteIp: () => address('remoteIp', 'the address of the client is not known', ({ remoteIp }) => remoteIp),
  destinationIp: () =>
    address('destinationIp', 'the destination address is not known', ({ destinationIp }) => destinationIp),
  /** Envoy has it in lower case. */
  sni: () =>
    doubtful(
      'sni',
      plain(
        'the caller asked for no server name',
        ({ sni }) => sni?.toLowerCase(),
        ({ sni }) => sni,
      ),
    ),
  port: () => plain('', ({ port }) => portText(port)),
  host: () =>
    doubtful(
      'host',
      http(
        NOT_HTTP,
        ({ host }) => host?.toLowerCase(),
        ({ host }) => host,
      ),
    ),
  method: () => http(NOT_HTTP, ({ method }) => method),
  path: () =>
    doubtful(
      'path',
      http(NOT_HTTP, ({ path }) => path),
    ),
  requestPrincipal: () => ({
    ...http(
      NO_TOKEN,
      ({ claims }) => requestPrincipal(claims),
      ({ claims }) => claims?.principal,
    ),
    certainty: (doubt: Doubt): Certainty =>
      doubt.ofClaim(['iss']) === 'known' && doubt.ofClaim(['sub']) === 'known' ? 'known' : 'unknown',
  }),
  presenter: () => claim(['azp']),
  audience: () => claim(['aud']),
} as const satisfies { readonly [name: string]: () => AttributeReader };

export type AttributeName = keyof typeof ATTRIBUTES;

export function header(lowerName: string): AttributeReader {
  const isAuthority = lowerName === 'host' || lowerName === ':authority';
  // as Envoy's matchers: several fields are compared one by one, but for those of which Envoy makes one
  const valuesOf = isJoinedHeader(lowerName) ? joinedHeader : headerValues;
  return {
    ...http('the request has no such header', (request) => {
      if (isAuthority) return request.host;
      return lowerName === ':method' ? request.method : valuesOf(request.headers, lowerName);
    }),
    isSecret: isSecretName(lowerName) && !isAuthority,
    certainty(doubt) {
      if (isAuthority) return doubt.of('host');
      return lowerName === ':method' ? 'known' : doubt.ofHeader(lowerName);
    },
  };
}

/** A claim by the names that lead to it. */
export function claim(names: readonly string[]): AttributeReader {
  return {
    ...http('no valid token has such a claim', ({ claims }) => claimValue(claims, names)),
    isSecret: names.some(isSecretName),
    // One that is withheld may be no text, which no rule sees.
    certainty: (doubt) => (doubt.ofClaim(names) === 'known' ? 'known' : 'unknown'),
  };
}

/** Texts of the ports seen: a workload has a handful, so that no request makes a string. */
const portTexts: string[] = [];

/** A port as policies write it. */
function portText(port: number): string {
  const known = portTexts[port];
  if (known !== undefined) return known;
  const text = String(port);
  if (Number.isInteger(port) && port >= 0 && port <= 65535) portTexts[port] = text;
  return text;
}

function plain(absent: string, read: Read, shown: Read = read): AttributeReader {
  return { isHttp: false, absent, read, shown };
}

function http(absent: string, read: Read, shown: Read = read): AttributeReader {
  return { isHttp: true, absent, read, shown };
}

function doubtful(part: DoubtfulPart, reader: AttributeReader): AttributeReader {
  return { ...reader, certainty: (doubt) => doubt.of(part) };
}

/** Addresses whose digits are kept: peers call again. */
const MAX_KEPT_ADDRESSES = 1_024;

function address(
  part: DoubtfulPart,
  absent: string,
  given: (request: AuthorizationRequest) => string | undefined,
): AttributeReader {
  const kept = new Map<string, string | undefined>();
  const read = (request: AuthorizationRequest) => {
    const text = given(request);
    if (text === undefined) return undefined;
    const known = kept.get(text);
    if (known !== undefined) return known;
    if (kept.size >= MAX_KEPT_ADDRESSES) kept.clear();
    const digits = ipDigits(text);
    kept.set(text, digits);
    return digits;
  };
  return doubtful(part, plain(absent, read, given));
}
