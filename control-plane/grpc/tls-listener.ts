import { constants } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { createServer, type SecureContextOptions, type TLSSocket } from 'node:tls';
import type { EventLog } from '../event-log.ts';
import { type GateCounts, type GateLimits, guardConnections } from '../listener/connection-gate.ts';
import type { CallerProofs } from './caller-proofs.ts';

/** What the server proves itself with, and whose certificates it accepts from clients; PEM. */
export interface ServerIdentity {
  readonly certificateChainPem: string;
  readonly privateKeyPem: string;
  readonly trustBundlePem: string;
}

export interface TlsListenerOptions {
  readonly listen: { readonly address: string; readonly port: number };
  readonly limits: GateLimits;
  readonly identity: ServerIdentity;
  readonly callers: CallerProofs;
  readonly counts: GateCounts;
  readonly log: EventLog;
  readonly onConnection: (socket: TLSSocket) => void;
}

export interface TlsListener {
  readonly port: number;
  /** New connections get the new certificate; who is not believed under its roots is cut off, after a moment. */
  renew(identity: ServerIdentity): void;
  /** Takes no new connections, and ends those in their handshake. */
  close(): void;
}

/**
 * Listens for TLS 1.3 with a client certificate that is optional (a sidecar's first call has none) and judged where it is
 * given (caller-proofs.ts). grpc-js's own port takes any number of handshakes, and states no TLS version.
 * Throws in one sentence when the port cannot be had.
 */
export async function startTlsListener(options: TlsListenerOptions): Promise<TlsListener> {
  const { listen, limits, callers, counts, log, onConnection } = options;
  const server = createServer({
    ...secureContext(options.identity),
    ALPNProtocols: ['h2'],
    requestCert: true,
    rejectUnauthorized: false, // `callers` judge
    noDelay: true,
  });
  const isProven = (socket: TLSSocket) => callers.judgementOf(socket)?.kind === 'accepted';
  const identityOf = (socket: TLSSocket) => {
    const judgement = callers.judgementOf(socket);
    return judgement?.kind === 'accepted' ? judgement.peer.id.uri : undefined;
  };
  const gate = guardConnections(server, { port: 'grpc', limits, counts, log, isProven, identityOf });
  server.on('secureConnection', (socket) => {
    socket.on('error', () => {}); // the session that ends with it knows
    if (socket.destroyed) return; // by the gate
    callers.add(socket);
    onConnection(socket);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const isTaken = error.code === 'EADDRINUSE';
      reject(new Error(isTaken ? 'another program (a second control plane?) already listens there' : error.message));
    });
    server.listen(listen.port, listen.address, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port, // always so for a TCP server that listens
    renew(identity) {
      server.setSecureContext(secureContext(identity));
      callers.trust(identity.trustBundlePem);
    },
    close() {
      server.close();
      gate.close();
    },
  };
}

function secureContext(identity: ServerIdentity): SecureContextOptions {
  return {
    minVersion: 'TLSv1.3',
    // No session is resumed: every connection proves its certificate anew, and none costs the memory of a ticket.
    secureOptions: constants.SSL_OP_NO_TICKET,
    ca: identity.trustBundlePem,
    cert: identity.certificateChainPem,
    key: identity.privateKeyPem,
  };
}
