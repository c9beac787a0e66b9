import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-grpc';
import { CompressionAlgorithm } from '@opentelemetry/otlp-exporter-base';
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace';

type ExportCallback = Parameters<SpanExporter['export']>[1];

/**
 * Exports by OTLP over gRPC, and begins anew after a failure: the library's channel would wait up to two minutes
 * before it looks for a collector that came back. Counts what was lost.
 */
export class ReconnectingExporter implements SpanExporter {
  readonly #url: string;
  readonly #timeoutMs: number;
  #inner: OTLPTraceExporter | undefined;
  /** Spans given up because the collector did not take them. */
  lost = 0;

  constructor(url: string, timeoutMs: number) {
    this.#url = url;
    this.#timeoutMs = timeoutMs;
  }

  export(spans: ReadableSpan[], callback: ExportCallback): void {
    this.#inner ??= new OTLPTraceExporter({
      url: this.#url,
      compression: CompressionAlgorithm.NONE,
      timeoutMillis: this.#timeoutMs,
    });
    const used = this.#inner;
    used.export(spans, (result) => {
      if (result.error !== undefined) {
        this.lost += spans.length;
        if (this.#inner === used) this.#inner = undefined;
        void used.shutdown().catch(() => {});
      }
      callback(result);
    });
  }

  async forceFlush(): Promise<void> {
    await this.#inner?.forceFlush();
  }

  async shutdown(): Promise<void> {
    await this.#inner?.shutdown();
  }
}
