import http from 'node:http';
import net from 'node:net';
import tls from 'node:tls';

/** What came back on the wire. */
export interface Outcome {
  /** HTTP status; 0: no HTTP answer. */
  readonly status: number;
  /** The refusal's code, or why there was no answer. */
  readonly code: string;
  readonly decisionId: string;
  readonly body: string;
  readonly milliseconds: number;
}

/** A call that has not ended by then is taken as failed. */
const CALL_TIMEOUT_MS = 10_000;

/** Calls through a sidecar's outbound port, as an app with HTTP_PROXY would. */
export function callThrough(
  outboundPort: number,
  method: string,
  host: string,
  path: string,
  body?: unknown,
  traceparent?: string,
): Promise<Outcome> {
  const headers: http.OutgoingHttpHeaders = { host };
  if (body !== undefined) headers['content-type'] = 'application/json';
  if (traceparent !== undefined) headers.traceparent = traceparent;
  return request(http.request({ host: '127.0.0.1', port: outboundPort, method, path, headers }), body);
}

function request(outgoing: http.ClientRequest, body: unknown): Promise<Outcome> {
  const startedAt = performance.now();
  return new Promise((resolve) => {
    const done = (status: number, code: string, decisionId: string, text: string) =>
      resolve({ status, code, decisionId, body: text, milliseconds: Math.round(performance.now() - startedAt) });
    outgoing.setTimeout(CALL_TIMEOUT_MS, () => outgoing.destroy(new Error('no answer in time')));
    outgoing.on('error', (error) => done(0, error.message, '', ''));
    outgoing.on('response', (response) => {
      let text = '';
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => {
        const id = response.headers['lateral-decision'];
        done(response.statusCode ?? 0, codeOf(text), typeof id === 'string' ? id : '', text);
      });
      response.on('error', (error) => done(0, error.message, '', text));
    });
    outgoing.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

function codeOf(text: string): string {
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === 'object' && parsed !== null && 'code' in parsed) return String(parsed.code);
  } catch {
    // not a refusal of Lateral's
  }
  return '';
}

/** Speaks TLS to an inbound port without a mesh certificate, or with one of another authority; says what came. */
export function callOverTls(
  port: number,
  path: string,
  credentials: { cert: string; key: string } | undefined,
): Promise<Outcome> {
  const startedAt = performance.now();
  return new Promise((resolve) => {
    const socket = tls.connect({
      host: '127.0.0.1',
      port,
      rejectUnauthorized: false,
      minVersion: 'TLSv1.3',
      ...credentials,
    });
    finish(socket, startedAt, resolve);
    socket.on('secureConnect', () => socket.write(`GET ${path} HTTP/1.1\r\nhost: payments.shop\r\n\r\n`));
  });
}

/** Speaks plaintext HTTP to an inbound port. */
export function callPlain(port: number, path: string): Promise<Outcome> {
  const startedAt = performance.now();
  return new Promise((resolve) => {
    const socket = net.connect({ host: '127.0.0.1', port });
    finish(socket, startedAt, resolve);
    socket.on('connect', () => socket.write(`GET ${path} HTTP/1.1\r\nhost: payments.shop\r\n\r\n`));
  });
}

function finish(socket: net.Socket, startedAt: number, resolve: (outcome: Outcome) => void): void {
  let text = '';
  socket.setTimeout(CALL_TIMEOUT_MS, () => socket.destroy());
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0);
    const code = status === 0 ? 'connection closed without an answer' : '';
    resolve({ status, code, decisionId: '', body: text, milliseconds: Math.round(performance.now() - startedAt) });
  });
}
