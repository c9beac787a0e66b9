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
    const { trace: context } = exchange;
    if (!context.isSampled) return;
    this.#span(exchange, 'server', context.serverSpanId, context.parentSpanId, exchange.startedAt, endedAt);
    if (exchange.sentAt === 0) return;
    this.#span(exchange, 'client', context.clientSpanId, context.serverSpanId, exchange.sentAt, endedAt);
  }

  /** Sends what is left; resolves within the export timeout also when no collector answers. */
  async close(): Promise<void> {
    await this.#provider.shutdown().catch(() => {});
  }

  #span(
    exchange: Exchange,
    side: 'server' | 'client',
    spanId: string,
    parentSpanId: string | undefined,
    startedAt: number,
    endedAt: number,
  ): void {
    this.#ids.traceId = exchange.trace.traceId;
    this.#ids.spanId = spanId;
    const { traceId } = exchange.trace;
    const wallClock = (monotonic: number) => exchange.startedAtMs + (monotonic - exchange.startedAt);
    const parent =
      parentSpanId === undefined
        ? ROOT_CONTEXT
        : trace.setSpanContext(ROOT_CONTEXT, {
            traceId,
            spanId: parentSpanId,
            traceFlags: TraceFlags.SAMPLED,
            isRemote: side === 'server',
          });
    const { method } = exchange.server.head;
    const span = this.#tracer.startSpan(
      exchange.route === undefined ? method : `${method} ${exchange.route}`,
      {
        kind: side === 'server' ? SpanKind.SERVER : SpanKind.CLIENT,
        startTime: wallClock(startedAt),
        attributes: side === 'server' ? serverAttributes(exchange, endedAt) : clientAttributes(exchange),
      },
      parent,
    );
    // HTTP semantic conventions: 4xx is the caller's fault, an error on the client's side only
    if (exchange.status >= (side === 'server' ? 500 : 400) || exchange.status === 0) {
      span.setStatus({ code: SpanStatusCode.ERROR, message: exchange.code === 'allowed' ? '' : exchange.reason });
      span.setAttribute(ATTR_ERROR_TYPE, exchange.code === 'allowed' ? String(exchange.status) : exchange.code);
    }
    span.end(wallClock(endedAt));
  }
}

function serverAttributes(exchange: Exchange, endedAt: number): Attributes {
  const attributes: Attributes = {
    [ATTR_HTTP_REQUEST_METHOD]: exchange.server.head.method,
    [ATTR_URL_SCHEME]: 'http',
    [ATTR_URL_PATH]: exchange.path ?? '',
    [ATTR_HTTP_RESPONSE_STATUS_CODE]: exchange.status,
    [ATTR_SERVER_ADDRESS]: exchange.host ?? '',
    [ATTR_CLIENT_ADDRESS]: exchange.server.caller.address,
    'lateral.direction': exchange.direction,
    'lateral.source': exchange.source?.uri ?? '',
    'lateral.destination': exchange.destination ?? '',
    'lateral.decision': exchange.decision,
    'lateral.decision_id': exchange.decisionId,
    'lateral.code': exchange.code,
  };
  if (exchange.route !== undefined) attributes[ATTR_HTTP_ROUTE] = exchange.route;
  if (exchange.policyName !== undefined) attributes['lateral.policy'] = exchange.policyName;
  if (exchange.rule !== undefined) attributes['lateral.rule'] = exchange.rule;
  if (exchange.code !== 'allowed') attributes['lateral.reason'] = exchange.reason;
  for (const [index, name] of exchange.stageNames.entries()) {
    const start = exchange.stageStarts[index] ?? endedAt;
    attributes[`lateral.stage.${name}_ms`] = (exchange.stageStarts[index + 1] ?? endedAt) - start;
  }
  return attributes;
}

function clientAttributes(exchange: Exchange): Attributes {
  return {
    [ATTR_HTTP_REQUEST_METHOD]: exchange.server.head.method,
    [ATTR_URL_PATH]: exchange.path ?? '',
    [ATTR_HTTP_RESPONSE_STATUS_CODE]: exchange.status,
    [ATTR_SERVER_ADDRESS]: exchange.host ?? '',
    [ATTR_SERVER_PORT]: exchange.port,
    'lateral.direction': exchange.direction,
    'lateral.destination': exchange.destination ?? '',
  };
}
