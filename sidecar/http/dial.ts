import type { X509Certificate } from 'node:crypto';
import net from 'node:net';
import tls from 'node:tls';
import { UpstreamFailure } from './message.ts';
import { onReadOf, type ReadTaker } from './reused-reads.ts';

/** Time for TCP and TLS together. */
export const CONNECT_TIMEOUT_MS = 5_000;

/** How to reach and trust a peer over mutual TLS. */
export interface PeerTls {
  /** The credentials in force; asked at each connection, so that a renewal needs no new pool. */
  context(): tls.SecureContext;
  /** Where the connection is to come from; absent: the system chooses. */
  readonly localAddress?: string | undefined;
  /** Judges the server's certificate after its chain was accepted; returns what is wrong with it. */
  complaint(certificate: X509Certificate | undefined): string | undefined;
}

/** Says whether a plaintext connection has come back to this very process's listeners. */
export type IsOwnListener = (socket: net.Socket) => boolean;

export type Dialled = (error: UpstreamFailure | null, socket: net.Socket | null) => void;

/**
 * Opens a connection to an app (plaintext) or a peer (mutual TLS 1.3); calls back once. `protocols`: what is offered by ALPN
 * (RFC 7301), best first; empty: nothing is. `reads`: takes what is read, in place of `data` events.
 */
export function dial(
  address: string,
  port: number,
  peer: PeerTls | undefined,
  callback: Dialled,
  isOwnListener?: IsOwnListener,
  protocols: readonly string[] = ['http/1.1'],
  reads?: ReadTaker,
): void {
  const where = `${address}:${port}`;
  let isOver = false;
  const own = reads === undefined ? {} : { onread: onReadOf(reads) };
  const socket =
    peer === undefined
      ? net.connect({ host: address, port, noDelay: true, allowHalfOpen: true, ...own })
      : tls.connect({ ...tlsOptions(address, port, peer, protocols), ...own });
  const finish = (failure: UpstreamFailure | null) => {
    if (isOver) return;
    isOver = true;
    clearTimeout(timer);
    socket.off('error', onError);
    if (failure === null) {
      callback(null, socket);
      return;
    }
    socket.on('error', () => {});
    socket.destroy();
    callback(failure, null);
  };
  const onError = (error: Error) => finish(new UpstreamFailure('unreachable', `${where}: ${error.message}`, true));
  const timer = setTimeout(
    () =>
      finish(
        new UpstreamFailure(
          'unreachable',
          `${where}: no connection within connectTimeoutMs ${CONNECT_TIMEOUT_MS}`,
          true,
        ),
      ),
    CONNECT_TIMEOUT_MS,
  );
  socket.on('error', onError);
  socket.once(peer === undefined ? 'connect' : 'secureConnect', () => {
    socket.setNoDelay(true);
    if (isOwnListener?.(socket) === true) {
      finish(new UpstreamFailure('loop', `${where} is this sidecar`, true));
      return;
    }
    const complaint =
      peer !== undefined && socket instanceof tls.TLSSocket
        ? peer.complaint(socket.getPeerX509Certificate())
        : undefined;
    finish(complaint === undefined ? null : new UpstreamFailure('identity', `${where}: ${complaint}`, true));
  });
}

/** `allowHalfOpen` is read by node, and missing in its types. */
function tlsOptions(
  address: string,
  port: number,
  peer: PeerTls,
  protocols: readonly string[],
): tls.ConnectionOptions & { allowHalfOpen: boolean } {
  return {
    host: address,
    port,
    secureContext: peer.context(),
    minVersion: 'TLSv1.3',
    allowHalfOpen: true,
    ...(protocols.length === 0 ? {} : { ALPNProtocols: [...protocols] }),
    ...(peer.localAddress === undefined ? {} : { localAddress: peer.localAddress }),
    rejectUnauthorized: true,
    checkServerIdentity: () => undefined, // the name is a SPIFFE ID: `complaint` below judges it
  };
}
