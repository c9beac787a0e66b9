import { headerValue } from '#policy/http/flat-headers.ts';
import { Http2Upstream } from '../http/h2/upstream.ts';
import type { IncomingBody, OutgoingRequest } from '../http/message.ts';
import type { Asker } from './http-probe.ts';

const PATH = '/grpc.health.v1.Health/Check';
/** HealthCheckResponse.ServingStatus (health.proto). */
const STATUS_FIELD = 0x08;
const SERVING = 1;
/** A HealthCheckResponse is two bytes long. */
const MAX_ANSWER_BYTES = 1_024;
/** gRPC's length-prefixed message: a flag of compression and four bytes of length. */
const PREFIX_BYTES = 5;
/** `string service = 1` of HealthCheckRequest. */
const SERVICE_FIELD = 0x0a;

/**
 * Asks the app for its health over h2c as the kubelet would (pkg/probe/grpc); rejects with the reason where it is not SERVING.
 * By the sidecar's own codec, which is loaded in any case.
 */
export async function probeGrpc(probe: { port: number; service: string }, asker: Asker): Promise<void> {
  const upstream = new Http2Upstream({ address: asker.address, port: probe.port });
  const exchange = upstream.send(healthRequest(probe, asker));
  const { promise: givenUp, reject } = Promise.withResolvers<never>();
  const giveUp = () => {
    const reason = asker.signal.reason instanceof Error ? asker.signal.reason : new Error('given up');
    reject(reason);
    exchange.cancel(reason);
  };
  asker.signal.addEventListener('abort', giveUp, { once: true });
  try {
    const { head, body } = await Promise.race([exchange.response, givenUp]);
    if (head.status !== 200) throw new Error(`HTTP ${head.status} in place of a gRPC answer`);
    const { message, trailers } = await Promise.race([readAnswer(body), givenUp]);
    const ends = [...head.headers, ...trailers]; // an answer of headers only has it there
    const status = headerValue(ends, 'grpc-status');
    if (status !== '0') throw new Error(`grpc-status ${status ?? 'missing'} ${messageOf(ends)}`);
    if (!isServing(message)) throw new Error('the app says that it is not SERVING');
  } finally {
    asker.signal.removeEventListener('abort', giveUp);
    upstream.close();
  }
}

function healthRequest(probe: { port: number; service: string }, { address, userAgent }: Asker): OutgoingRequest {
  const authority = address.includes(':') ? `[${address}]:${probe.port}` : `${address}:${probe.port}`;
  const contentType = ['content-type', 'application/grpc', 'te', 'trailers'];
  const headers = ['host', authority, ...contentType, ...(userAgent === '' ? [] : ['user-agent', userAgent])];
  return {
    head: { method: 'POST', target: PATH, headers, version: '2' },
    body: framed(probe.service),
    isUpgrade: false,
    expectsContinue: false,
    onResponse: () => {},
    onInformation: () => {},
    onBodyProgress: () => {},
    onBodyBlocked: () => {},
    onBodyEnd: () => {},
  };
}

/** A HealthCheckRequest with gRPC's prefix. */
function framed(service: string): Buffer {
  const text = Buffer.from(service);
  const message = text.length === 0 ? text : Buffer.concat([Buffer.of(SERVICE_FIELD, ...varint(text.length)), text]);
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 0x80) return [...bytes, rest];
    bytes.push((rest & 0x7f) | 0x80);
  }
}

function readAnswer(body: IncomingBody): Promise<{ message: Buffer; trailers: readonly string[] }> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    body.start({
      onChunk: (chunk) => {
        bytes += chunk.length;
        if (bytes <= MAX_ANSWER_BYTES) chunks.push(Buffer.from(chunk));
        else reject(new Error(`a health answer of more than ${MAX_ANSWER_BYTES} bytes`));
      },
      onEnd: (trailers) => resolve({ message: Buffer.concat(chunks).subarray(PREFIX_BYTES), trailers }),
      onError: reject,
    });
  });
}

/** Percent-encoded (gRPC over HTTP/2, Status-Message). */
function messageOf(headers: readonly string[]): string {
  const text = headerValue(headers, 'grpc-message') ?? '';
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function isServing(message: Buffer): boolean {
  return message[0] === STATUS_FIELD && message[1] === SERVING;
}
