import http from 'node:http';
import https from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { SecureContextOptions, TLSSocket } from 'node:tls';
import { Refusal } from '#policy/error/refusal.ts';
import type { Caller, OutgoingBody, ResponseHead, ServerRequest, VerifiedCertificate } from './message.ts';
import { NodeIncomingBody } from './node-incoming-body.ts';
import { NodeOutgoingBody } from './node-outgoing-body.ts';
import { serializeHead } from './serialize-head.ts';

/** Longest header block of a request, bytes; more is 431. The same as Envoy's default. */
export const MAX_HEADER_BYTES = 61_440;
/** From the first byte of a request to the end of its header block; more is 408. */
export const HEADER_TIMEOUT_MS = 10_000;
/** A connection without a request is closed after this. Longer than the pools of our own clients keep it. */
export const KEEP_ALIVE_TIMEOUT_MS = 75_000;
/** How often the two limits above are looked at. */
const TIMEOUT_CHECK_INTERVAL_MS = 1_000;
/** A caller that connects has this long for its TLS handshake. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;
/** Open connections a listener; further ones are closed at once. */
export const MAX_CONNECTIONS = 16_384;

/** A response the codec sends by itself, for bytes that never became a request. */
export interface ImmediateResponse {
  readonly head: ResponseHead;
  readonly body: Buffer;
}

export interface NodeServerHandlers {
  onRequest(request: ServerRequest): void;
  /** Bytes that are no request: what to answer, if anything. */
  onUnreadable(caller: Caller, refusal: Refusal): ImmediateResponse | undefined;
  /** TLS only: judges the caller's certificate; throws a Refusal to close the connection. */
  verify?(socket: TLSSocket): VerifiedCertificate;
  /** TLS only: a connection that ended before a request. */
  onRefusedConnection?(address: string, refusal: Refusal): void;
}

/** node:http as the serving codec: HTTP/1.1 over TLS 1.3 with a client certificate, or in plaintext. */
export class NodeServer {
  readonly #server: http.Server | https.Server;
  readonly #callers = new WeakMap<Duplex, Caller>();
  readonly #handlers: NodeServerHandlers;

  constructor(handlers: NodeServerHandlers, tls: SecureContextOptions | undefined) {
    this.#handlers = handlers;
    const options: http.ServerOptions = {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: HEADER_TIMEOUT_MS,
      requestTimeout: 0, // bodies are watched by their progress, not by their length: stall-watch.ts
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
      connectionsCheckingInterval: TIMEOUT_CHECK_INTERVAL_MS,
      requireHostHeader: false, // the accept stage refuses it, with a record
      noDelay: true,
    };
    this.#server =
      tls === undefined
        ? http.createServer(options)
        : https.createServer({
            ...options,
            ...tls,
            minVersion: 'TLSv1.3',
            requestCert: true,
            rejectUnauthorized: false, // `verify` decides, so that the reason is known and logged
            ALPNProtocols: ['http/1.1'],
            handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
          });
    this.#server.maxConnections = MAX_CONNECTIONS;
    this.#listen();
  }

  /** Serves new connections by these certificates; open ones go on. */
  renew(tls: SecureContextOptions): void {
    if (this.#server instanceof https.Server) this.#server.setSecureContext({ ...tls, minVersion: 'TLSv1.3' });
  }

  open(port: number, address: string): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ port, host: address, backlog: 4096 }, () => {
        this.#server.off('error', reject);
        const bound = this.#server.address();
        resolve(typeof bound === 'object' && bound !== null ? bound.port : port);
      });
    });
  }

  /** Stops accepting; idle connections close now, busy ones after their response. */
  drain(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeIdleConnections();
    });
  }

  /** Ends every connection. */
  destroy(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  #listen(): void {
    const server = this.#server;
    if (server instanceof https.Server) {
      server.prependListener('secureConnection', (socket: TLSSocket) => this.#admit(socket));
      server.on('tlsClientError', (error: Error, socket: TLSSocket) => {
        const reason = `TLS handshake failed: ${error.message}`;
        this.#handlers.onRefusedConnection?.(socket.remoteAddress ?? '', new Refusal('tls_handshake_failed', reason));
      });
    } else {
      server.on('connection', (socket: Socket) => this.#remember(socket, undefined));
    }
    server.on('request', (request, response) => this.#serve(request, response, false, undefined));
    server.on('checkContinue', (request, response) => this.#serve(request, response, true, undefined));
    server.on('checkExpectation', (request, response) => this.#serve(request, response, false, undefined));
    server.on('upgrade', (request, socket, head) => this.#serveUpgrade(request, socket, head));
    server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => this.#unreadable(error, socket));
  }

  #admit(socket: TLSSocket): void {
    socket.on('error', () => socket.destroy());
    try {
      this.#remember(socket, this.#handlers.verify?.(socket));
    } catch (error) {
      const refusal = error instanceof Refusal ? error : new Refusal('internal_error', String(error));
      this.#handlers.onRefusedConnection?.(socket.remoteAddress ?? '', refusal);
      socket.destroy();
    }
  }

  #remember(socket: Socket, certificate: VerifiedCertificate | undefined): void {
    this.#callers.set(socket, {
      address: socket.remoteAddress ?? '',
      port: socket.remotePort ?? 0,
      certificate,
    });
  }

  #callerOf(socket: Duplex): Caller {
    return this.#callers.get(socket) ?? { address: '', port: 0, certificate: undefined };
  }

  #serve(
    message: http.IncomingMessage,
    response: http.ServerResponse,
    expectsContinue: boolean,
    takeOver: (() => Duplex) | undefined,
  ): void {
    this.#handlers.onRequest(
      new NodeServerRequest(message, response, this.#callerOf(message.socket), expectsContinue, takeOver),
    );
  }

  #serveUpgrade(message: http.IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => socket.destroy());
    const response = new http.ServerResponse(message);
    response.shouldKeepAlive = false;
    response.assignSocket(message.socket);
    response.on('finish', () => {
      response.detachSocket(message.socket);
      socket.end();
    });
    this.#serve(message, response, false, () => {
      response.detachSocket(message.socket);
      if (head.length > 0) socket.unshift(head);
      return socket;
    });
  }

  #unreadable(error: NodeJS.ErrnoException, socket: Duplex): void {
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy();
      return;
    }
    const answer = this.#handlers.onUnreadable(this.#callerOf(socket), refusalOf(error));
    if (answer === undefined) {
      socket.destroy();
      return;
    }
    const headers = [...answer.head.headers, 'connection', 'close'];
    socket.end(Buffer.concat([serializeHead({ ...answer.head, headers }), answer.body]));
    socket.once('finish', () => socket.destroy());
  }
}

function refusalOf(error: NodeJS.ErrnoException): Refusal {
  if (error.code === 'HPE_HEADER_OVERFLOW') {
    const reason = `header block exceeds maxHeaderBytes ${MAX_HEADER_BYTES}`;
    return new Refusal('header_block_too_large', reason, { limit: `maxHeaderBytes ${MAX_HEADER_BYTES}` });
  }
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return new Refusal('request_timeout', `no complete header block within headerTimeoutMs ${HEADER_TIMEOUT_MS}`);
  }
  return new Refusal('malformed_request', `${error.message} (${error.code ?? 'no code'})`);
}

class NodeServerRequest implements ServerRequest {
  readonly head: ServerRequest['head'];
  readonly body: NodeIncomingBody;
  readonly caller: Caller;
  readonly isUpgrade: boolean;
  onAbandoned: ((error: Error) => void) | undefined = undefined;
  readonly #response: http.ServerResponse;
  readonly #takeOver: (() => Duplex) | undefined;

  constructor(
    message: http.IncomingMessage,
    response: http.ServerResponse,
    caller: Caller,
    expectsContinue: boolean,
    takeOver: (() => Duplex) | undefined,
  ) {
    this.head = {
      method: message.method ?? '',
      target: message.url ?? '',
      headers: message.rawHeaders,
      version: message.httpVersionMinor === 0 ? '1.0' : '1.1',
    };
    this.body = new NodeIncomingBody(message, expectsContinue ? () => response.writeContinue() : undefined);
    this.caller = caller;
    this.isUpgrade = takeOver !== undefined;
    this.#response = response;
    this.#takeOver = takeOver;
    message.on('error', ignore); // told through `close` of the response
    response.on('error', ignore);
    response.on('close', () => {
      if (!response.writableFinished) this.onAbandoned?.(new Error('the caller closed the connection'));
    });
  }

  inform(head: ResponseHead): void {
    if (this.#response.headersSent || this.head.version === '1.0') return;
    this.#response.writeInformation(head.status, asFields(head.headers));
  }

  respond(head: ResponseHead): OutgoingBody {
    return new NodeOutgoingBody(this.#response, head);
  }

  switchProtocols(head: ResponseHead): Duplex {
    if (this.#takeOver === undefined) throw new Error('not an upgrade request');
    const socket = this.#takeOver();
    socket.write(serializeHead(head));
    return socket;
  }

  destroy(): void {
    this.#response.destroy();
  }
}

function ignore(): void {}

function asFields(headers: readonly string[]): http.OutgoingHttpHeaders {
  const fields: http.OutgoingHttpHeaders = {};
  for (let index = 0; index < headers.length; index += 2) fields[headers[index] ?? ''] = headers[index + 1] ?? '';
  return fields;
}
