import { BinaryReader } from '@bufbuild/protobuf/wire';
import { Server, ServerCredentials } from '@grpc/grpc-js';

/** A span as the built-in summary shows it. */
export interface SeenSpan {
  readonly service: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  readonly kind: 'server' | 'client';
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly attributes: { readonly [name: string]: string };
}

const MAX_SPANS = 10_000;

export interface TraceSink {
  readonly port: number;
  readonly spans: readonly SeenSpan[];
  close(): void;
}

/** Takes OTLP over gRPC on loopback, in place of a collector, and keeps the spans. `wantedPort` 0: any free one. */
export async function openTraceSink(wantedPort = 0): Promise<TraceSink> {
  const spans: SeenSpan[] = [];
  const server = new Server();
  const identity = (bytes: Buffer) => bytes;
  server.addService(
    {
      export: {
        path: '/opentelemetry.proto.collector.trace.v1.TraceService/Export',
        requestStream: false,
        responseStream: false,
        requestSerialize: identity,
        requestDeserialize: identity,
        responseSerialize: identity,
        responseDeserialize: identity,
      },
    },
    {
      export(call: { request: Buffer }, callback: (error: null, reply: Buffer) => void) {
        if (spans.length < MAX_SPANS) spans.push(...readRequest(call.request));
        callback(null, Buffer.alloc(0));
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${wantedPort}`, ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { port, spans, close: () => server.forceShutdown() };
}

type FieldReader = (field: number, reader: BinaryReader) => boolean;

/** Walks one protobuf message; `read` takes the fields it knows (opentelemetry/proto/trace/v1/trace.proto). */
function walk(bytes: Uint8Array, read: FieldReader): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (!read(field, reader)) reader.skip(wireType, field);
  }
}

function readRequest(bytes: Uint8Array): SeenSpan[] {
  const spans: SeenSpan[] = [];
  walk(bytes, (field, reader) => {
    if (field !== 1) return false;
    let service = '';
    const found: Uint8Array[] = [];
    walk(reader.bytes(), (inner, resource) => {
      if (inner === 1) service = readAttributes(resource.bytes(), 1)['service.name'] ?? '';
      else if (inner === 2) walk(resource.bytes(), (deep, scope) => deep === 2 && found.push(scope.bytes()) > 0);
      else return false;
      return true;
    });
    for (const span of found) spans.push(readSpan(span, service));
    return true;
  });
  return spans;
}

function readSpan(bytes: Uint8Array, service: string): SeenSpan {
  const span = { service, traceId: '', spanId: '', parentSpanId: '', name: '', startNs: 0n, endNs: 0n };
  let kind: SeenSpan['kind'] = 'server';
  walk(bytes, (field, reader) => {
    if (field === 1) span.traceId = Buffer.from(reader.bytes()).toString('hex');
    else if (field === 2) span.spanId = Buffer.from(reader.bytes()).toString('hex');
    else if (field === 4) span.parentSpanId = Buffer.from(reader.bytes()).toString('hex');
    else if (field === 5) span.name = reader.string();
    else if (field === 6) kind = reader.int32() === 3 ? 'client' : 'server';
    else if (field === 7) span.startNs = BigInt(reader.fixed64());
    else if (field === 8) span.endNs = BigInt(reader.fixed64());
    else return false;
    return true;
  });
  return { ...span, kind, attributes: readAttributes(bytes, 9) };
}

/** String attributes (KeyValue messages) of a message. */
function readAttributes(bytes: Uint8Array, attributeField: number): { [name: string]: string } {
  const attributes: { [name: string]: string } = {};
  walk(bytes, (field, reader) => {
    if (field !== attributeField) return false;
    let key = '';
    let value = '';
    walk(reader.bytes(), (inner, pair) => {
      if (inner === 1) key = pair.string();
      else if (inner === 2) value = readText(pair.bytes());
      else return false;
      return true;
    });
    attributes[key] = value;
    return true;
  });
  return attributes;
}

/** The string of an AnyValue; empty for values of other types. */
function readText(bytes: Uint8Array): string {
  let text = '';
  walk(bytes, (field, reader) => {
    if (field !== 1) return false;
    text = reader.string();
    return true;
  });
  return text;
}

/** The spans of a trace as an indented tree, children under their parents by start. */
export function printTree(spans: readonly SeenSpan[]): string {
  const byParent = Map.groupBy(spans, (span) =>
    spans.some(({ spanId }) => spanId === span.parentSpanId) ? span.parentSpanId : '',
  );
  const lines: string[] = [];
  const visit = (parent: string, depth: number) => {
    const children = [...(byParent.get(parent) ?? [])].sort((left, right) => Number(left.startNs - right.startNs));
    for (const span of children) {
      const ms = (Number(span.endNs - span.startNs) / 1e6).toFixed(2);
      const decision = span.attributes['lateral.decision'];
      const side = span.kind === 'server' ? (span.attributes['lateral.direction'] ?? 'server') : 'client';
      lines.push(
        `${'  '.repeat(depth)}${span.service} ${side}: ${span.name}  ${ms} ms${decision === undefined ? '' : `  ${decision}`}`,
      );
      visit(span.spanId, depth + 1);
    }
  };
  visit('', 0);
  return lines.join('\n');
}
