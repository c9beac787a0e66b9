import { Agent as HttpAgent, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { type ApiConnection, requestOf } from './api-connection.ts';
import { ApiError, errorOfAnswer } from './api-error.ts';
import { lineReader } from './line-reader.ts';

/** An answer that is not there by then is given up. */
export const REQUEST_TIMEOUT_MS = 30_000;
/** Largest answer that is read; a page of a list is far smaller. */
export const MAX_ANSWER_BYTES = 128 * 1024 * 1024;
/** Idle connections that are kept. */
const MAX_IDLE_CONNECTIONS = 8;

export const MERGE_PATCH = 'application/merge-patch+json';

export interface ApiRequest {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly query?: { readonly [name: string]: string };
  readonly body?: unknown;
  /** Default `application/json`. */
  readonly contentType?: string;
  /** Default REQUEST_TIMEOUT_MS. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface WatchRequest {
  readonly query: { readonly [name: string]: string };
  /** A stream without a byte for this long is ended. */
  readonly silenceMs: number;
  readonly signal: AbortSignal;
  /** Called with each object of the stream; what it throws ends the stream and is thrown on. */
  readonly onEvent: (event: unknown) => void;
  /** The server has begun to answer. */
  readonly onOpen?: () => void;
}

/** A Kubernetes API server: JSON by HTTP, and streams of it. Paths begin with `/api` or `/apis`. */
export class KubernetesClient {
  readonly #connection: ApiConnection;
  readonly #agent: HttpAgent;

  constructor(connection: ApiConnection) {
    this.#connection = connection;
    const options = { keepAlive: true, maxFreeSockets: MAX_IDLE_CONNECTIONS };
    this.#agent = connection.url.protocol === 'http:' ? new HttpAgent(options) : new HttpsAgent(options);
  }

  /** The answer's JSON. Throws ApiError for any other status than 2xx, and where there is no answer. */
  async request(path: string, request: ApiRequest = {}): Promise<unknown> {
    const { timeoutMs = REQUEST_TIMEOUT_MS, signal } = request;
    const deadline = AbortSignal.timeout(timeoutMs);
    const ending = signal === undefined ? deadline : AbortSignal.any([deadline, signal]);
    const what = `${request.method ?? 'GET'} ${path}`;
    try {
      const response = await this.#send(path, request, ending);
      const body = await readBounded(response);
      if (isSuccess(response)) return parsed(body, what);
      throw this.#failure(response, body, what);
    } catch (error) {
      if (error instanceof ApiError) throw error;
      const why = deadline.aborted ? `no answer within ${timeoutMs} ms` : reasonOf(error);
      throw new ApiError(undefined, '', `${what}: ${why}`);
    }
  }

  /** Resolves when the server ends the stream. Throws ApiError where it does not begin, breaks off or falls silent. */
  async watch(path: string, { query, silenceMs, signal, onEvent, onOpen }: WatchRequest): Promise<void> {
    const silence = new AbortController();
    const what = `watch of ${path}`;
    const fallSilent = () => silence.abort();
    let timer = setTimeout(fallSilent, silenceMs);
    try {
      const response = await this.#send(path, { query }, AbortSignal.any([silence.signal, signal]));
      if (!isSuccess(response)) throw this.#failure(response, await readBounded(response), what);
      onOpen?.();
      const read = lineReader((line) => onEvent(parsed(line, what)));
      for await (const chunk of response) {
        clearTimeout(timer);
        timer = setTimeout(fallSilent, silenceMs);
        read(chunk);
      }
    } catch (error) {
      if (error instanceof ApiError) throw error;
      const why = silence.signal.aborted ? `silent for ${silenceMs} ms` : reasonOf(error);
      throw new ApiError(undefined, '', `${what}: ${why}`);
    } finally {
      clearTimeout(timer);
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  async #send(path: string, request: ApiRequest, signal: AbortSignal): Promise<IncomingMessage> {
    const { method = 'GET', query, body, contentType = 'application/json' } = request;
    const { url } = this.#connection;
    const options = await this.#connection.options();
    const content = body === undefined ? undefined : JSON.stringify(body);
    const search = query === undefined ? '' : `?${new URLSearchParams(query)}`;
    return new Promise((resolve, reject) => {
      const sent = requestOf(this.#connection)({
        agent: this.#agent,
        ...options,
        hostname: url.hostname.replace(/^\[|\]$/g, ''),
        port: url.port === '' ? (url.protocol === 'http:' ? 80 : 443) : url.port,
        method,
        path: `${url.pathname.replace(/\/$/, '')}${path}${search}`,
        signal,
        headers: {
          ...options.headers,
          accept: 'application/json',
          'user-agent': 'lateral-control-plane',
          ...(content === undefined
            ? {}
            : { 'content-type': contentType, 'content-length': Buffer.byteLength(content) }),
        },
      });
      sent.once('response', resolve);
      sent.once('error', reject);
      sent.end(content);
    });
  }

  #failure({ statusCode = 0 }: IncomingMessage, body: string, what: string): ApiError {
    if (statusCode === 401) this.#connection.forget();
    let status: unknown;
    try {
      status = JSON.parse(body);
    } catch {
      status = undefined; // a proxy's page, or nothing
    }
    return errorOfAnswer(statusCode, status, what);
  }
}

function isSuccess({ statusCode = 0 }: IncomingMessage): boolean {
  return statusCode >= 200 && statusCode < 300;
}

async function readBounded(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response) {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) throw new Error(`the answer exceeds ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parsed(json: string, what: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    throw new ApiError(undefined, '', `${what}: the answer is not JSON`);
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
