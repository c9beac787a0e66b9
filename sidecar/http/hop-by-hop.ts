import { type FlatHeaders, headerValue } from '#policy/http/flat-headers.ts';
import { nameRule } from './name-rule.ts';

const NO_DROPS: ReadonlySet<string> = new Set();

/**
 * The fields that go on to the next hop, in their order and case: without hop-by-hop ones, those that
 * Connection names, and those that `drops` names (lower case; an underscore in a field's name counts as a dash there,
 * since to some apps it is one). `te: trailers` is kept, as gRPC needs it.
 */
export function endToEndHeaders(headers: FlatHeaders, drops: ReadonlySet<string> = NO_DROPS): string[] {
  const nominated = nominatedByConnection(headers);
  const hasDrops = drops.size > 0;
  const kept = headers.slice();
  let end = 0;
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index] ?? '';
    const value = headers[index + 1] ?? '';
    const { lower, dashed, isHopByHop } = nameRule(name);
    if (isHopByHop && (lower !== 'te' || value.toLowerCase() !== 'trailers')) continue;
    if (hasDrops && (drops.has(lower) || (dashed !== undefined && drops.has(dashed)))) continue;
    if (nominated?.includes(lower) === true && !isHopByHop) continue;
    kept[end] = name;
    kept[end + 1] = value;
    end += 2;
  }
  while (kept.length > end) kept.pop(); // to set the length is a call into V8
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
  return trailers.filter((_, index) => {
    const { lower, dashed, isHopByHop } = nameRule(trailers[index - (index % 2)] ?? '');
    return !isHopByHop && !NOT_IN_TRAILERS.has(dashed ?? lower);
  });
}
