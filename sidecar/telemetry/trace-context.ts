import { type FlatHeaders, headerValue } from '#policy/http/flat-headers.ts';
import { randomHex } from '../exchange/random-hex.ts';

/** The trace an exchange belongs to, and the two spans it adds to it. Source: W3C Trace Context. */
export interface TraceContext {
  /** 32 hex digits. */
  readonly traceId: string;
  /** Span of the caller; undefined: the trace begins here. */
  readonly parentSpanId: string | undefined;
  /** This hop's server span. */
  readonly serverSpanId: string;
  /** This hop's client span: what `traceparent` carries on. */
  readonly clientSpanId: string;
  readonly isSampled: boolean;
  readonly traceState: string | undefined;
}

const TRACEPARENT_LENGTH = 55;
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:$|-)/;

/**
 * Continues the caller's trace and its sampling decision; begins one where there is none, sampled
 * with probability `sampleRatio` by the trace ID (as OpenTelemetry's TraceIdRatioBased does).
 */
export function traceContextOf(headers: FlatHeaders, sampleRatio: number): TraceContext {
  const traceparent = headerValue(headers, 'traceparent');
  const serverSpanId = randomHex(8);
  const clientSpanId = randomHex(8);
  // §3.2: a longer value is valid for versions above 00 only
  if (
    traceparent !== undefined &&
    TRACEPARENT.test(traceparent) &&
    (traceparent.length === TRACEPARENT_LENGTH || !traceparent.startsWith('00'))
  ) {
    return {
      traceId: traceparent.slice(3, 35),
      parentSpanId: traceparent.slice(36, 52),
      serverSpanId,
      clientSpanId,
      isSampled: (Number.parseInt(traceparent.slice(53, 55), 16) & 1) === 1,
      traceState: headerValue(headers, 'tracestate'),
    };
  }
  const traceId = randomHex(16);
  return {
    traceId,
    parentSpanId: undefined,
    serverSpanId,
    clientSpanId,
    isSampled: isInRatio(traceId, sampleRatio),
    traceState: undefined,
  };
}

export function traceparentOf(trace: TraceContext): string {
  return `00-${trace.traceId}-${trace.clientSpanId}-${trace.isSampled ? '01' : '00'}`;
}

/** The lower 28 bits of the trace ID are random in every generator we know. */
const RATIO_STEPS = 0x10000000;

function isInRatio(traceId: string, ratio: number): boolean {
  if (ratio >= 1) return true;
  if (ratio <= 0) return false;
  return Number.parseInt(traceId.slice(25), 16) < ratio * RATIO_STEPS;
}
