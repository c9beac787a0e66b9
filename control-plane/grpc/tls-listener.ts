import { constants } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { createServer, type SecureContextOptions, type TLSSocket } from 'node:tls';
import { identityOfLeaf } from '#policy/x509/peer-identity.ts';
import type { EventLog } from '../event-log.ts';
import { type GateCounts, type GateLimits, guardConnections } from '../listener/connection-gate.ts';
import type { IsRevoked } from './certificate-of-caller.ts';
import { ProvenSockets } from './proven-sockets.ts';

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
  readonly counts: GateCounts;
  readonly log: EventLog;
  readonly onConnection: (socket: TLSSocket) => void;
}

export interface TlsListener {
  readonly port: number;
  /** New connections get the new certificate. Where a root is gone, those that were proven end. */
  renew(identity: ServerIdentity): void;
  /** Ends the connections of those who are revoked. */
  endRevoked(isRevoked: IsRevoked): void;
  /** Takes no new connections, and ends those in their handshake. */
  close(): void;
}

/**
 * Listens for TLS 1.3 with a client certificate that is optional (a sidecar's first call has none) and verified where it is
 * given: a socket is `authorized` only then. grpc-js's own port takes any number of handshakes, and states no TLS version.
 * Throws in one sentence when the port cannot be had.
 */
export async function startTlsListener(options: TlsListenerOptions): Promise<TlsListener> {
  const { listen, limits, counts, log, onConnection } = options;
  const server = createServer({
    ...secureContext(options.identity),
    ALPNProtocols: ['h2'],
    requestCert: true,
    rejectUnauthorized: false,
    noDelay: true,
  });
  const isProven = (socket: TLSSocket) => socket.authorized;
  const gate = guardConnections(server, { port: 'grpc', limits, counts, log, isProven, identityOf });
  const proven = new ProvenSockets(options.identity.trustBundlePem);
  server.on('secureConnection', (socket) => {
    socket.on('error', () => {}); // the session that ends with it knows
    if (socket.destroyed) return; // by the gate
    proven.add(socket);
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
      if (proven.trust(identity.trustBundlePem)) gate.close(); // handshakes under way know the former roots
    },
    endRevoked(isRevoked) {
      proven.end((socket) => {
        const uri = identityOf(socket);
        const serial = socket.getPeerX509Certificate()?.serialNumber;
        const reason = uri === undefined || serial === undefined ? undefined : isRevoked(uri, serial);
        if (reason !== undefined) log('connection_ended', { peer: socket.remoteAddress, reason });
        return reason !== undefined;
      });
    },
    close() {
      server.close();
      gate.close();
    },
  };
}

/** Calls are held to the same certificate, and refused without a valid identity: this one is for counting. */
function identityOf(socket: TLSSocket): string | undefined {
  const certificate = socket.getPeerX509Certificate();
  const result = certificate === undefined ? undefined : identityOfLeaf(certificate);
  return result?.kind === 'valid' ? result.id.uri : undefined;
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
