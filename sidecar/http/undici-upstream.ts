import { Readable } from 'node:stream';
import { type Dispatcher, Pool } from 'undici';
import { dial, type PeerTls } from './dial.ts';
import type {
  BodyConsumer,
  IncomingBody,
  OutgoingRequest,
  ResponseHead,
  Upstream,
  UpstreamExchange,
  UpstreamResponse,
} from './message.ts';
import { UpstreamFailure } from './message.ts';
import { NodeUpstream } from './node-upstream.ts';

/** Connections to one endpoint; requests beyond wait for a free one. */
const MAX_CONNECTIONS_PER_ENDPOINT = 1_024;
/** Idle connections to apps are given up before common servers (Node: 5 s) close them. */
const APP_IDLE_TIMEOUT_MS = 4_000;
/** Idle connections to peers; our own server keeps them for 75 s. */
const PEER_IDLE_TIMEOUT_MS = 60_000;
/** Body bytes kept until the response head's reader has its turn: about one read of the socket. */
const MAX_EARLY_BYTES = 65_536;
/** Longest header block of a response. */
const MAX_RESPONSE_HEADER_BYTES = 61_440;

/**
 * undici as the forwarding codec. It sends neither trailers nor keeps a refused upgrade's answer, so
 * chunked bodies and upgrades go through node:http.
 */
export class UndiciUpstream implements Upstream {
  readonly #pool: Pool;
  readonly #origin: string;
  readonly #node: NodeUpstream;

  constructor(address: string, port: number, peer: PeerTls | undefined) {
    this.#origin = `http://${address.includes(':') ? `[${address}]` : address}:${port}`;
    this.#node = new NodeUpstream(address, port, peer);
    this.#pool = new Pool(this.#origin, {
      connections: MAX_CONNECTIONS_PER_ENDPOINT,
      pipelining: 1,
      allowH2: false,
      headersTimeout: 0, // stall-watch.ts watches every wait
      bodyTimeout: 0,
      keepAliveTimeout: peer === undefined ? APP_IDLE_TIMEOUT_MS : PEER_IDLE_TIMEOUT_MS,
      keepAliveMaxTimeout: PEER_IDLE_TIMEOUT_MS,
      maxHeaderSize: MAX_RESPONSE_HEADER_BYTES,
      connect: (_options, callback) => {
        dial(address, port, peer, (error, socket) => {
          if (socket !== null) callback(null, socket);
          else callback(error ?? new Error('no socket'), null);
        });
      },
    });
  }

  send(request: OutgoingRequest): UpstreamExchange {
    const { body } = request;
    const isChunked = body !== null && !Buffer.isBuffer(body) && body.declaredLength === undefined;
    if (request.isUpgrade || isChunked) return this.#node.send(request);
    const handler = new ResponseHandler(request);
    this.#pool.dispatch(
      {
        path: request.head.target,
        method: request.head.method,
        headers: [...request.head.headers],
        body: body === null || Buffer.isBuffer(body) ? body : readableOf(body, request),
      },
      handler,
    );
    return handler;
  }

  close(): void {
    void this.#pool.close();
    this.#node.close();
  }
}

class ResponseHandler implements Dispatcher.DispatchHandler, UpstreamExchange, IncomingBody {
  readonly response: Promise<UpstreamResponse>;
  isPresent = true;
  declaredLength: number | undefined;
  readonly #request: OutgoingRequest;
  readonly #resolve: (response: UpstreamResponse) => void;
  readonly #reject: (failure: UpstreamFailure) => void;
  #controller: Dispatcher.DispatchController | undefined;
  #consumer: BodyConsumer | undefined;
  #cancelled: Error | undefined;
  #hasHead = false;
  #early: Buffer[] = [];
  #earlyBytes = 0;
  #earlyEnd: readonly string[] | Error | undefined;

  constructor(request: OutgoingRequest) {
    this.#request = request;
    const { promise, resolve, reject } = Promise.withResolvers<UpstreamResponse>();
    this.response = promise;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#cancelled !== undefined) controller.abort(this.#cancelled);
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, _headers: unknown, reason?: string): void {
    const head: ResponseHead = { status, reason: reason ?? '', headers: flat(controller.rawHeaders) };
    if (status < 200) {
      this.#request.onInformation(head);
      return;
    }
    this.#hasHead = true;
    this.#resolve({ head, body: this, switched: undefined });
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#consumer !== undefined) {
      this.#consumer.onChunk(chunk);
      return;
    }
    // the head's reader has its turn when this read of the socket has been parsed; pausing the parser costs more
    this.#early.push(chunk);
    this.#earlyBytes += chunk.length;
    if (this.#earlyBytes > MAX_EARLY_BYTES) controller.pause();
  }

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    const trailers = flat(controller.rawTrailers);
    if (this.#consumer !== undefined) this.#consumer.onEnd(trailers);
    else this.#earlyEnd = trailers;
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (!this.#hasHead) this.#reject(this.#cancelled === undefined ? failureOf(error) : cancelled(this.#cancelled));
    else if (this.#consumer !== undefined) this.#consumer.onError(error);
    else this.#earlyEnd = error;
  }

  start(consumer: BodyConsumer): void {
    this.#consumer = consumer;
    for (const chunk of this.#early) consumer.onChunk(chunk);
    this.#early = [];
    if (this.#earlyEnd instanceof Error) consumer.onError(this.#earlyEnd);
    else if (this.#earlyEnd !== undefined) consumer.onEnd(this.#earlyEnd);
    else this.resume();
  }

  pause(): void {
    this.#controller?.pause();
  }

  resume(): void {
    if (this.#controller?.paused === true) this.#controller.resume();
  }

  cancel(error?: Error): void {
    this.#cancelled = error ?? new Error('not wanted any more');
    this.#controller?.abort(this.#cancelled);
  }
}

function cancelled(error: Error): UpstreamFailure {
  return new UpstreamFailure('cancelled', error.message, false);
}

function failureOf(error: Error): UpstreamFailure {
  if (error instanceof UpstreamFailure) return error;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (error.name === 'HTTPParserError' || code.startsWith('HPE_') || code === 'UND_ERR_HEADERS_OVERFLOW') {
    return new UpstreamFailure('malformed', error.message, false);
  }
  return new UpstreamFailure('closed', error.message, false);
}

/** undici gives raw headers as buffers; names and values are latin1 by RFC 9110 §5.5. */
function flat(raw: Dispatcher.DispatchController['rawHeaders']): string[] {
  if (!Array.isArray(raw)) return [];
  return raw.map((item: Buffer | string) => (typeof item === 'string' ? item : item.toString('latin1')));
}

function readableOf(body: IncomingBody, request: OutgoingRequest): Readable {
  let isStarted = false;
  const readable = new Readable({
    read() {
      if (isStarted) {
        body.resume();
        return;
      }
      isStarted = true;
      body.start({
        onChunk(chunk) {
          request.onBodyProgress(chunk.length);
          if (!readable.push(chunk)) body.pause();
        },
        onEnd() {
          request.onBodyEnd();
          readable.push(null);
        },
        onError: (error) => readable.destroy(error),
      });
    },
  });
  return readable;
}
