import { headerValue } from '#policy/http/flat-headers.ts';
import { traceparentOf } from '../telemetry/trace-context.ts';
import type { Accepted } from './exchange.ts';
import { randomHex } from './random-hex.ts';

/** Set anew or removed at every hop: a caller's own value is never passed through, and no policy sees it. */
export const REPLACED: ReadonlySet<string> = new Set([
  'x-forwarded-client-cert',
  'traceparent',
  'tracestate',
  'expect', // asked again where this hop waits for the answer (RFC 9110 §10.1.1)
]);

/**
 * The headers as they go on: the end-to-end ones in their order and case, then ours: traceparent and tracestate of
 * this hop, x-request-id where there was none, and `clientCertificate` (inbound only) as x-forwarded-client-cert.
 */
export function requestHeaders(exchange: Accepted, clientCertificate: string | undefined): string[] {
  const { server, trace } = exchange;
  const requestId = headerValue(exchange.headers, 'x-request-id');
  const isSound = requestId !== undefined && requestId !== '' && !requestId.includes(', ');
  const kept = isSound || requestId === undefined ? exchange.headers : without(exchange.headers, 'x-request-id');
  const added = ['traceparent', traceparentOf(trace)];
  if (!isSound) added.push('x-request-id', randomUuid());
  if (server.isUpgrade) added.push('connection', 'Upgrade', 'upgrade', 'websocket');
  if (trace.traceState !== undefined) added.push('tracestate', trace.traceState);
  if (clientCertificate !== undefined) added.push('x-forwarded-client-cert', clientCertificate);
  return kept.concat(added); // one array of the right size
}

function without(headers: readonly string[], lowerName: string): string[] {
  return headers.filter((_, index) => headers[index - (index % 2)]?.toLowerCase() !== lowerName);
}

/** Identifiers drawn at once. */
const UUID_BATCH = 64;
const UUID_LENGTH = 36;
let uuids = '';
let usedUuids = 0;

/** RFC 9562 §5.4: random, with version and variant set. */
function randomUuid(): string {
  if (usedUuids * UUID_LENGTH >= uuids.length) {
    uuids = Array.from({ length: UUID_BATCH }, makeUuid).join('');
    usedUuids = 0;
  }
  const start = usedUuids++ * UUID_LENGTH;
  return uuids.slice(start, start + UUID_LENGTH);
}

function makeUuid(): string {
  const hex = randomHex(16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20)}`;
}
