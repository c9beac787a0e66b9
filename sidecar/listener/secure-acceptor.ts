import { constants } from 'node:crypto';
import { Socket } from 'node:net';
import tls, { type SecureContextOptions, type TLSSocket } from 'node:tls';
import { Refusal } from '#policy/error/refusal.ts';
import type { VerifiedCertificate } from '../http/message.ts';

/** A caller that connects has this long for its TLS handshake. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;
/** A resumed TLS session brings along the verdict of its first handshake, which trust may have overtaken meanwhile. */
const ALWAYS = { minVersion: 'TLSv1.3', secureOptions: constants.SSL_OP_NO_TICKET } as const;

/** `T`: what a connection was accepted with, by which it is known again. */
export interface SecureEvents<T> {
  /** Judges the caller's certificate; throws a Refusal to close the connection. */
  verify(socket: TLSSocket): VerifiedCertificate;
  onSecure(given: T, socket: TLSSocket, certificate: VerifiedCertificate): void;
  onRefused(given: T, address: string, refusal: Refusal): void;
}

/** Makes TLS 1.3 with a client certificate of accepted TCP connections. */
export class SecureAcceptor<T extends object> {
  /** Never listen: connections are given to them. By whether ALPN is negotiated; made when first needed. */
  readonly #servers = new Map<boolean, tls.Server>();
  readonly #alpn: readonly string[];
  readonly #events: SecureEvents<T>;
  readonly #given = new WeakMap<Socket, T>();
  #context: SecureContextOptions;

  /** `alpn`: protocols by preference. */
  constructor(context: SecureContextOptions, alpn: readonly string[], events: SecureEvents<T>) {
    this.#context = context;
    this.#alpn = alpn;
    this.#events = events;
  }

  /**
   * Begins a handshake; bytes that were read before must have been put back (`unshift`). `hasAlpn`: false, and no protocol is
   * negotiated, whatever the caller offers.
   */
  accept(socket: Socket, given: T, hasAlpn: boolean): void {
    this.#given.set(socket, given);
    this.#serverFor(hasAlpn).emit('connection', socket);
  }

  /** Handshakes that begin from now on are made with this. */
  renew(context: SecureContextOptions): void {
    this.#context = context;
    for (const server of this.#servers.values()) server.setSecureContext({ ...context, ...ALWAYS });
  }

  #serverFor(hasAlpn: boolean): tls.Server {
    const known = this.#servers.get(hasAlpn);
    if (known !== undefined) return known;
    const server = tls.createServer(
      {
        ...this.#context,
        ...ALWAYS,
        requestCert: true,
        rejectUnauthorized: false, // `verify` decides, so that the reason is known and logged
        ...(hasAlpn ? { ALPNProtocols: [...this.#alpn] } : {}),
        handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      },
      (socket) => this.#admit(socket),
    );
    server.on('tlsClientError', (error: Error, socket: TLSSocket) => {
      const given = this.#givenWith(socket);
      const refusal = new Refusal('tls_handshake_failed', `TLS handshake failed: ${error.message}`);
      if (given !== undefined) this.#events.onRefused(given, socket.remoteAddress ?? '', refusal);
      socket.destroy();
    });
    this.#servers.set(hasAlpn, server);
    return server;
  }

  #admit(socket: TLSSocket): void {
    const given = this.#givenWith(socket);
    try {
      if (given === undefined) throw new Error('a TLS connection that was not accepted here');
      this.#events.onSecure(given, socket, this.#events.verify(socket));
    } catch (error) {
      const refusal = error instanceof Refusal ? error : new Refusal('internal_error', String(error));
      if (given !== undefined) this.#events.onRefused(given, socket.remoteAddress ?? '', refusal);
      socket.on('error', () => {});
      socket.destroy();
    }
  }

  /** By the connection that TLS was laid over, which Node has and does not document. */
  #givenWith(socket: TLSSocket): T | undefined {
    const below: unknown = '_parent' in socket ? socket._parent : undefined;
    return below instanceof Socket ? this.#given.get(below) : undefined;
  }
}
