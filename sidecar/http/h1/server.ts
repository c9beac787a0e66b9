import { constants } from 'node:crypto';
import net from 'node:net';
import tls, { type SecureContextOptions, type TLSSocket } from 'node:tls';
import { Refusal } from '#policy/error/refusal.ts';
import type { Caller, ImmediateResponse, ServerRequest, VerifiedCertificate } from '../message.ts';
import { ServerConnection } from './server-connection.ts';

/** From the first byte of a request to the end of its header block; more is 408. */
export const HEADER_TIMEOUT_MS = 10_000;
/** A connection without a request is closed after this. Longer than the pools of our own clients keep it. */
export const KEEP_ALIVE_TIMEOUT_MS = 75_000;
/** How often the two limits above are looked at. */
const TIMEOUT_CHECK_INTERVAL_MS = 1_000;
/** A caller that connects has this long for its TLS handshake. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;
/** A resumed TLS session brings along the verdict of its first handshake, which trust may have overtaken meanwhile. */
const NO_RESUMPTION = constants.SSL_OP_NO_TICKET;
/** Open connections a listener; further ones are closed at once. */
export const MAX_CONNECTIONS = 16_384;
const BACKLOG = 4_096;

export interface ServerHandlers {
  onRequest(request: ServerRequest): void;
  /** Bytes that are no request: what to answer, if anything. */
  onUnreadable(caller: Caller, refusal: Refusal): ImmediateResponse | undefined;
  /** TLS only: judges the caller's certificate; throws a Refusal to close the connection. */
  verify?(socket: TLSSocket): VerifiedCertificate;
  /** TLS only: a connection that ended before a request. */
  onRefusedConnection?(address: string, refusal: Refusal): void;
}

/** Serves HTTP/1.1, over TLS 1.3 with a client certificate or in plaintext. */
export class Http1Server {
  readonly #server: net.Server | tls.Server;
  readonly #handlers: ServerHandlers;
  readonly #connections = new Set<ServerConnection>();
  /** Every accepted socket, also those whose TLS handshake is not complete. */
  readonly #sockets = new Set<net.Socket>();
  readonly #timer: NodeJS.Timeout;

  constructor(handlers: ServerHandlers, secure: SecureContextOptions | undefined) {
    this.#handlers = handlers;
    if (secure === undefined) {
      this.#server = net.createServer({ noDelay: true, allowHalfOpen: true }, (socket) =>
        this.#serve(socket, undefined),
      );
    } else {
      this.#server = tls.createServer(
        {
          ...secure,
          minVersion: 'TLSv1.3',
          secureOptions: NO_RESUMPTION,
          requestCert: true,
          rejectUnauthorized: false, // `verify` decides, so that the reason is known and logged
          ALPNProtocols: ['http/1.1'],
          handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
          noDelay: true,
          allowHalfOpen: true,
        },
        (socket) => this.#admit(socket),
      );
      this.#server.on('tlsClientError', (error: Error, socket: TLSSocket) => {
        const reason = `TLS handshake failed: ${error.message}`;
        this.#handlers.onRefusedConnection?.(socket.remoteAddress ?? '', new Refusal('tls_handshake_failed', reason));
        socket.destroy();
      });
    }
    this.#server.maxConnections = MAX_CONNECTIONS;
    this.#server.on('connection', (socket: net.Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    this.#timer = setInterval(() => this.#sweep(performance.now()), TIMEOUT_CHECK_INTERVAL_MS);
    this.#timer.unref();
  }

  /** Serves new connections by these certificates; open ones go on. */
  renew(secure: SecureContextOptions): void {
    if (this.#server instanceof tls.Server)
      this.#server.setSecureContext({ ...secure, minVersion: 'TLSv1.3', secureOptions: NO_RESUMPTION });
  }

  /** Resolves to the port that is bound. */
  open(port: number, address: string): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ port, host: address, backlog: BACKLOG }, () => {
        this.#server.off('error', reject);
        const bound = this.#server.address();
        resolve(typeof bound === 'object' && bound !== null ? bound.port : port);
      });
    });
  }

  /** Stops accepting; idle connections end now, busy ones after their response. Resolves when all have ended. */
  drain(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => {
        clearInterval(this.#timer);
        resolve();
      });
      for (const connection of this.#connections) connection.drain();
    });
  }

  /** Ends every connection. */
  destroy(): void {
    this.#server.close();
    clearInterval(this.#timer);
    for (const { socket } of this.#connections) socket.destroy();
    for (const socket of this.#sockets) socket.destroy();
  }

  #admit(socket: TLSSocket): void {
    try {
      this.#serve(socket, this.#handlers.verify?.(socket));
    } catch (error) {
      const refusal = error instanceof Refusal ? error : new Refusal('internal_error', String(error));
      this.#handlers.onRefusedConnection?.(socket.remoteAddress ?? '', refusal);
      socket.on('error', () => {});
      socket.destroy();
    }
  }

  #serve(socket: net.Socket, certificate: VerifiedCertificate | undefined): void {
    const caller = { address: socket.remoteAddress ?? '', port: socket.remotePort ?? 0, certificate };
    const connection = new ServerConnection(socket, caller, {
      onRequest: (request) => this.#handlers.onRequest(request),
      onUnreadable: (who, refusal) => this.#handlers.onUnreadable(who, refusal),
      onClosed: (closed) => this.#connections.delete(closed),
    });
    this.#connections.add(connection);
  }

  #sweep(now: number): void {
    for (const connection of this.#connections) {
      const { kind, since } = connection.state;
      if (kind === 'head' && now - since > HEADER_TIMEOUT_MS) {
        const reason = `no complete header block within headerTimeoutMs ${HEADER_TIMEOUT_MS}`;
        connection.refuse(new Refusal('request_timeout', reason));
      } else if (kind === 'idle' && now - since > KEEP_ALIVE_TIMEOUT_MS) connection.drain();
    }
  }
}
