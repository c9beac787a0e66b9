import { Socket } from 'node:net';
import tls, { type SecureContextOptions, type TLSSocket } from 'node:tls';
import { LRUCache } from 'lru-cache';
import { Refusal } from '#policy/error/refusal.ts';
import type { VerifiedCertificate } from '../http/message.ts';

/** A caller that connects has this long for its TLS handshake. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;
/**
 * No handshake is begun with an address for so long after it sent more certificates than may be: OpenSSL has verified them all
 * before anybody is asked (100 of P-521: 220 ms of this thread), and Node has no setting for it.
 */
export const SHUNNED_MS = 10_000;
/** Addresses that are remembered for it; of further ones the oldest is spoken to again. */
const MAX_SHUNNED_ADDRESSES = 1_024;

/** `T`: what a connection was accepted with, by which it is known again. */
export interface SecureEvents<T> {
  /** When the certificate that is served with now ends; milliseconds since the epoch. */
  ownEndMs(): number;
  /** Judges the caller's certificate; throws a Refusal to close the connection. `ownEndMs`: of what was shown to it. */
  verify(socket: TLSSocket, ownEndMs: number): VerifiedCertificate;
  onSecure(given: T, socket: TLSSocket, certificate: VerifiedCertificate): void;
  onRefused(given: T, address: string, refusal: Refusal): void;
}

/** Makes TLS with a client certificate of accepted TCP connections. */
export class SecureAcceptor<T extends object> {
  /** Never listen: connections are given to them. By whether ALPN is negotiated; made when first needed. */
  readonly #servers = new Map<boolean, tls.Server>();
  readonly #alpn: readonly string[];
  readonly #events: SecureEvents<T>;
  readonly #given = new WeakMap<Socket, { readonly given: T; readonly ownEndMs: number }>();
  /** What handshakes under way were begun on. */
  readonly #underWay = new Set<Socket>();
  readonly #shunned = new LRUCache<string, true>({ max: MAX_SHUNNED_ADDRESSES, ttl: SHUNNED_MS });
  #context: SecureContextOptions;
  /** Connections with which no handshake was begun, or gone on with, for what others of their address had sent. */
  turnedAway = 0;

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
    if (this.#shunned.size > 0 && this.#shunned.has(socket.remoteAddress ?? '')) {
      this.#turnAway(socket);
      return;
    }
    this.#given.set(socket, { given, ownEndMs: this.#events.ownEndMs() });
    this.#underWay.add(socket);
    socket.once('close', () => this.#underWay.delete(socket));
    this.#serverFor(hasAlpn).emit('connection', socket);
  }

  /** Handshakes that begin from now on are made with this. */
  renew(context: SecureContextOptions): void {
    this.#context = context;
    for (const server of this.#servers.values()) server.setSecureContext(context);
  }

  #turnAway(socket: Socket): void {
    this.turnedAway++;
    socket.on('error', () => {});
    socket.destroy();
  }

  /** Others of the address may be about to send the same. */
  #shun(address: string): void {
    this.#shunned.set(address, true);
    for (const socket of this.#underWay) if (socket.remoteAddress === address) this.#turnAway(socket);
  }

  #serverFor(hasAlpn: boolean): tls.Server {
    const known = this.#servers.get(hasAlpn);
    if (known !== undefined) return known;
    const server = tls.createServer(
      {
        ...this.#context,
        requestCert: true,
        rejectUnauthorized: false, // `verify` decides, so that the reason is known and logged
        ...(hasAlpn ? { ALPNProtocols: [...this.#alpn] } : {}),
        handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      },
      (socket) => this.#admit(socket),
    );
    server.on('tlsClientError', (error: Error, socket: TLSSocket) => {
      const accepted = this.#givenWith(socket);
      const refusal = new Refusal('tls_handshake_failed', `TLS handshake failed: ${error.message}`);
      if (accepted !== undefined) this.#events.onRefused(accepted.given, socket.remoteAddress ?? '', refusal);
      socket.destroy();
    });
    this.#servers.set(hasAlpn, server);
    return server;
  }

  #admit(socket: TLSSocket): void {
    const accepted = this.#givenWith(socket);
    try {
      if (accepted === undefined) throw new Error('a TLS connection that was not accepted here');
      this.#events.onSecure(accepted.given, socket, this.#events.verify(socket, accepted.ownEndMs));
    } catch (error) {
      const refusal = error instanceof Refusal ? error : new Refusal('internal_error', String(error));
      if (refusal.code === 'certificate_chain_too_long') this.#shun(socket.remoteAddress ?? '');
      if (accepted !== undefined) this.#events.onRefused(accepted.given, socket.remoteAddress ?? '', refusal);
      socket.on('error', () => {});
      socket.destroy();
    }
  }

  /** By the connection that TLS was laid over, which Node has and does not document; its handshake is over. */
  #givenWith(socket: TLSSocket): { readonly given: T; readonly ownEndMs: number } | undefined {
    const below: unknown = '_parent' in socket ? socket._parent : undefined;
    if (!(below instanceof Socket)) return undefined;
    this.#underWay.delete(below);
    return this.#given.get(below);
  }
}
