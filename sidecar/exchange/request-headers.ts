import { randomFillSync } from 'node:crypto';
import { headerValue } from '#policy/http/flat-headers.ts';
import { traceparentOf } from '../telemetry/trace-context.ts';
import type { Accepted } from './exchange.ts';

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
/** RFC 9562 §5.4: random where an x stands, with version and variant set. */
const UUID_SHAPE = 'xxxxxxxx-xxxx-4xxx-axxx-xxxxxxxxxxxx';
const X = 0x78;
const HEX_DIGITS = Buffer.from('0123456789abcdef');
const shape = Buffer.from(UUID_SHAPE.repeat(UUID_BATCH));
const randomBytes = Buffer.alloc(shape.length);
let uuids = '';
let usedUuids = 0;

function randomUuid(): string {
  const start = (usedUuids++ % UUID_BATCH) * UUID_SHAPE.length;
  if (start === 0) uuids = drawUuids();
  return uuids.slice(start, start + UUID_SHAPE.length);
}

function drawUuids(): string {
  randomFillSync(randomBytes);
  const digitAt = (at: number) => HEX_DIGITS[(randomBytes[at] ?? 0) & 15] ?? 0;
  return Buffer.from(shape.map((code, at) => (code === X ? digitAt(at) : code))).toString('latin1');
}
