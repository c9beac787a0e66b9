import {
  type Attributes,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { AlwaysOnSampler, BatchSpanProcessor, type IdGenerator, TracerProvider } from '@opentelemetry/sdk-trace';
import {
  ATTR_CLIENT_ADDRESS,
  ATTR_ERROR_TYPE,
  ATTR_HTTP_REQUEST_METHOD,
  ATTR_HTTP_RESPONSE_STATUS_CODE,
  ATTR_HTTP_ROUTE,
  ATTR_SERVER_ADDRESS,
  ATTR_SERVER_PORT,
  ATTR_SERVICE_NAME,
  ATTR_URL_PATH,
  ATTR_URL_SCHEME,
} from '@opentelemetry/semantic-conventions';
import type { Workload } from '#policy/workload-policy.ts';
import type { Exchange } from '../exchange/exchange.ts';
import type { Recorder } from '../exchange/record.ts';
import { ReconnectingExporter } from './reconnecting-exporter.ts';
import { type SpanFacts, spanFactsOf } from './span-facts.ts';

/** Spans waiting for the collector; further ones are dropped. */
const MAX_QUEUED_SPANS = 4_096;
const MAX_BATCH_SPANS = 512;
/** Longest wait of a span before it leaves. The contract promises 5 s. */
const EXPORT_DELAY_MS = 2_000;
/** A collector that does not answer is given up after this, also at the end of the program. */
const EXPORT_TIMEOUT_MS = 3_000;

/** Hands out the IDs that went over the wire with the request. */
class ChosenIds implements IdGenerator {
  traceId = '';
  spanId = '';

  generateTraceId(): string {
    return this.traceId;
  }

  generateSpanId(): string {
    return this.spanId;
  }
}

/**
 * Makes a server span and a client span of each sampled exchange when it has ended, and sends them by
 * OTLP over gRPC in the background: tracing costs a request nothing but the header.
 */
export class SpanExporter implements Recorder {
  readonly #exporter: ReconnectingExporter;
  readonly #provider: TracerProvider;
  readonly #tracer: Tracer;
  readonly #ids = new ChosenIds();

  /** `url`: `http://HOST:PORT` or `https://HOST:PORT`. */
  constructor(url: string, workload: Workload) {
    this.#exporter = new ReconnectingExporter(url, EXPORT_TIMEOUT_MS);
    this.#provider = new TracerProvider({
      sampler: new AlwaysOnSampler(), // the decision was made at the head of the trace: trace-context.ts
      idGenerator: this.#ids,
      resource: resourceFromAttributes({
        [ATTR_SERVICE_NAME]: workload.labels.app ?? workload.serviceAccount,
        'service.namespace': workload.namespace,
        'service.instance.id': workload.name,
      }),
      spanProcessors: [
        new BatchSpanProcessor({
          exporter: this.#exporter,
          maxQueueSize: MAX_QUEUED_SPANS,
          maxExportBatchSize: MAX_BATCH_SPANS,
          scheduledDelayMillis: EXPORT_DELAY_MS,
          exportTimeoutMillis: EXPORT_TIMEOUT_MS,
        }),
      ],
    });
    this.#tracer = this.#provider.getTracer('lateral');
  }

  /** Spans the collector did not take. */
  get lost(): number {
    return this.#exporter.lost;
  }

  record(exchange: Exchange, endedAt: number): void {
    if (exchange.trace.isSampled) this.take(spanFactsOf(exchange, endedAt));
  }

  /** Makes the spans of a sampled exchange, perhaps of another thread. */
  take(facts: SpanFacts): void {
    const { trace: context, startedAt, sentAt } = facts;
    this.#span(facts, 'server', context.serverSpanId, context.parentSpanId, startedAt);
    if (sentAt !== 0) this.#span(facts, 'client', context.clientSpanId, context.serverSpanId, sentAt);
  }

  /** Sends what is left; resolves within the export timeout also when no collector answers. */
  async close(): Promise<void> {
    await this.#provider.shutdown().catch(() => {});
  }

  #span(
    facts: SpanFacts,
    side: 'server' | 'client',
    spanId: string,
    parentSpanId: string | undefined,
    startedAt: number,
  ): void {
    const { traceId } = facts.trace;
    this.#ids.traceId = traceId;
    this.#ids.spanId = spanId;
    const wallClock = (monotonic: number) => facts.startedAtMs + (monotonic - facts.startedAt);
    const parent =
      parentSpanId === undefined
        ? ROOT_CONTEXT
        : trace.setSpanContext(ROOT_CONTEXT, {
            traceId,
            spanId: parentSpanId,
            traceFlags: TraceFlags.SAMPLED,
            isRemote: side === 'server',
          });
    const span = this.#tracer.startSpan(
      facts.route === undefined ? facts.method : `${facts.method} ${facts.route}`,
      {
        kind: side === 'server' ? SpanKind.SERVER : SpanKind.CLIENT,
        startTime: wallClock(startedAt),
        attributes: side === 'server' ? serverAttributes(facts) : clientAttributes(facts),
      },
      parent,
    );
    // HTTP semantic conventions: 4xx is the caller's fault, an error on the client's side only
    if (facts.status >= (side === 'server' ? 500 : 400) || facts.status === 0) {
      span.setStatus({ code: SpanStatusCode.ERROR, message: facts.code === 'allowed' ? '' : facts.reason });
      span.setAttribute(ATTR_ERROR_TYPE, facts.code === 'allowed' ? String(facts.status) : facts.code);
    }
    span.end(wallClock(facts.endedAt));
  }
}

function serverAttributes(facts: SpanFacts): Attributes {
  const attributes: Attributes = {
    [ATTR_HTTP_REQUEST_METHOD]: facts.method,
    [ATTR_URL_SCHEME]: 'http',
    [ATTR_URL_PATH]: facts.path,
    [ATTR_HTTP_RESPONSE_STATUS_CODE]: facts.status,
    [ATTR_SERVER_ADDRESS]: facts.host,
    [ATTR_CLIENT_ADDRESS]: facts.callerAddress,
    'lateral.direction': facts.direction,
    'lateral.source': facts.source,
    'lateral.destination': facts.destination,
    'lateral.decision': facts.decision,
    'lateral.decision_id': facts.decisionId,
    'lateral.code': facts.code,
  };
  if (facts.route !== undefined) attributes[ATTR_HTTP_ROUTE] = facts.route;
  if (facts.policyName !== undefined) attributes['lateral.policy'] = facts.policyName;
  if (facts.rule !== undefined) attributes['lateral.rule'] = facts.rule;
  if (facts.providers !== undefined) attributes['lateral.providers'] = facts.providers;
  if (facts.code !== 'allowed') attributes['lateral.reason'] = facts.reason;
  for (const [index, name] of facts.stageNames.entries()) {
    const start = facts.stageStarts[index] ?? facts.endedAt;
    attributes[`lateral.stage.${name}_ms`] = (facts.stageStarts[index + 1] ?? facts.endedAt) - start;
  }
  return attributes;
}

function clientAttributes(facts: SpanFacts): Attributes {
  return {
    [ATTR_HTTP_REQUEST_METHOD]: facts.method,
    [ATTR_URL_PATH]: facts.path,
    [ATTR_HTTP_RESPONSE_STATUS_CODE]: facts.status,
    [ATTR_SERVER_ADDRESS]: facts.host,
    [ATTR_SERVER_PORT]: facts.port,
    'lateral.direction': facts.direction,
    'lateral.destination': facts.destination,
  };
}
