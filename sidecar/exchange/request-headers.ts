import { headerValue } from '#policy/http/flat-headers.ts';
import { endToEndHeaders } from '../http/hop-by-hop.ts';
import { traceparentOf } from '../telemetry/trace-context.ts';
import type { Exchange } from './exchange.ts';
import { randomHex } from './random-hex.ts';

/** Replaced or removed at every hop: a caller's own value is never passed through. */
const REPLACED: ReadonlySet<string> = new Set([
  'x-forwarded-client-cert',
  'traceparent',
  'tracestate',
  'expect', // this hop has answered it (RFC 9110 §10.1.1)
]);
const REPLACED_AND_ID: ReadonlySet<string> = new Set([...REPLACED, 'x-request-id']);

/**
 * The headers as they go on: end-to-end ones in their order and case, then ours: traceparent and
 * tracestate of this hop, x-request-id where there was none, and `clientCertificate` (inbound only)
 * as x-forwarded-client-cert.
 */
export function requestHeaders(exchange: Exchange, clientCertificate: string | undefined): string[] {
  const { head, isUpgrade } = exchange.server;
  const requestId = headerValue(head.headers, 'x-request-id');
  const hasSoundId = requestId !== undefined && requestId !== '' && !requestId.includes(', ');
  const headers = endToEndHeaders(head.headers, hasSoundId ? REPLACED : REPLACED_AND_ID);
  if (isUpgrade) headers.push('connection', 'Upgrade', 'upgrade', headerValue(head.headers, 'upgrade') ?? '');
  if (!hasSoundId) headers.push('x-request-id', randomUuid());
  headers.push('traceparent', traceparentOf(exchange.trace));
  if (exchange.trace.traceState !== undefined) headers.push('tracestate', exchange.trace.traceState);
  if (clientCertificate !== undefined) headers.push('x-forwarded-client-cert', clientCertificate);
  return headers;
}

/** RFC 9562 §5.4: random, with version and variant set. */
function randomUuid(): string {
  const hex = randomHex(16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20)}`;
}
