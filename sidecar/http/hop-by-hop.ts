import { type FlatHeaders, headerValue } from '#policy/http/flat-headers.ts';

/** Fields that end at each hop. Source: RFC 9110 §7.6.1, RFC 9112; Keep-Alive and Proxy-Connection by usage. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
]);

/** Longest hop-by-hop name: longer names need no look-up. */
const MAX_HOP_BY_HOP_LENGTH = 19;

/**
 * The fields that go on to the next hop, in their order and case: without hop-by-hop ones, those that
 * Connection names, and those that `drops` names (lower case). `te: trailers` is kept, as gRPC needs it.
 */
export function endToEndHeaders(headers: FlatHeaders, drops: ReadonlySet<string>): string[] {
  const nominated = nominatedByConnection(headers);
  const kept: string[] = [];
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index] ?? '';
    const value = headers[index + 1] ?? '';
    const lower = name.toLowerCase();
    if (lower.length <= MAX_HOP_BY_HOP_LENGTH && HOP_BY_HOP.has(lower)) {
      if (lower === 'te' && value.toLowerCase() === 'trailers') kept.push(name, value);
      continue;
    }
    if (drops.has(lower) || nominated?.includes(lower) === true) continue;
    kept.push(name, value);
  }
  return kept;
}

/** End-to-end fields that Connection may not remove: the sidecar itself relies on them. */
const NEVER_NOMINATED: ReadonlySet<string> = new Set([
  'host',
  'content-length',
  'content-type',
  'authorization',
  'traceparent',
]);

function nominatedByConnection(headers: FlatHeaders): string[] | undefined {
  const value = headerValue(headers, 'connection');
  if (value === undefined) return undefined;
  const lower = value.toLowerCase();
  if (lower === 'keep-alive' || lower === 'close' || lower === 'upgrade') return undefined;
  return lower
    .split(',')
    .map((name) => name.trim())
    .filter((name) => !NEVER_NOMINATED.has(name));
}

/** What this hop vouches for in a header block has no business in a trailer section, where nobody looks at it. */
const NOT_IN_TRAILERS: ReadonlySet<string> = new Set([
  ...HOP_BY_HOP,
  'cookie',
  'set-cookie',
  'expect',
  'forwarded',
  'tracestate',
  'traceparent',
  'x-forwarded-client-cert',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-request-id',
]);

/** The trailers that go on (RFC 9110 §6.5.1); framing and routing fields were refused by the parser. */
export function endToEndTrailers(trailers: FlatHeaders): FlatHeaders {
  if (trailers.length === 0) return trailers;
  return trailers.filter((_, index) => !NOT_IN_TRAILERS.has(trailers[index - (index % 2)]?.toLowerCase() ?? ''));
}
