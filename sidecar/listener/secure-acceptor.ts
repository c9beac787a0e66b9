import { constants } from 'node:crypto';
import type { Socket } from 'node:net';
import tls, { type SecureContextOptions, type TLSSocket } from 'node:tls';
import { Refusal } from '#policy/error/refusal.ts';
import type { VerifiedCertificate } from '../http/message.ts';

/** A caller that connects has this long for its TLS handshake. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;
/** A resumed TLS session brings along the verdict of its first handshake, which trust may have overtaken meanwhile. */
const NO_RESUMPTION = constants.SSL_OP_NO_TICKET;

export interface SecureEvents {
  /** Judges the caller's certificate; throws a Refusal to close the connection. */
  verify(socket: TLSSocket): VerifiedCertificate;
  onSecure(socket: TLSSocket, certificate: VerifiedCertificate): void;
  onRefused(address: string, refusal: Refusal): void;
}

/** Makes TLS 1.3 with a client certificate of accepted TCP connections. */
export class SecureAcceptor {
  /** Never listens: connections are given to it. */
  readonly #server: tls.Server;

  /** `alpn`: protocols by preference; empty: none is negotiated, whatever the caller offers. */
  constructor(context: SecureContextOptions, alpn: readonly string[], events: SecureEvents) {
    this.#server = tls.createServer(
      {
        ...context,
        minVersion: 'TLSv1.3',
        secureOptions: NO_RESUMPTION,
        requestCert: true,
        rejectUnauthorized: false, // `verify` decides, so that the reason is known and logged
        ...(alpn.length === 0 ? {} : { ALPNProtocols: [...alpn] }),
        handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      },
      (socket) => admit(socket, events),
    );
    this.#server.on('tlsClientError', (error: Error, socket: TLSSocket) => {
      const reason = `TLS handshake failed: ${error.message}`;
      events.onRefused(socket.remoteAddress ?? '', new Refusal('tls_handshake_failed', reason));
      socket.destroy();
    });
  }

  /** Begins a handshake; bytes that were read before must have been put back (`unshift`). */
  accept(socket: Socket): void {
    this.#server.emit('connection', socket);
  }

  /** Handshakes that begin from now on are made with this. */
  renew(context: SecureContextOptions): void {
    this.#server.setSecureContext({ ...context, minVersion: 'TLSv1.3', secureOptions: NO_RESUMPTION });
  }
}

function admit(socket: TLSSocket, events: SecureEvents): void {
  try {
    events.onSecure(socket, events.verify(socket));
  } catch (error) {
    const refusal = error instanceof Refusal ? error : new Refusal('internal_error', String(error));
    events.onRefused(socket.remoteAddress ?? '', refusal);
    socket.on('error', () => {});
    socket.destroy();
  }
}
