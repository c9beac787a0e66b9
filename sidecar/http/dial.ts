import net from 'node:net';
import tls from 'node:tls';
import { Refusal } from '#policy/error/refusal.ts';
import { UpstreamFailure, type VerifiedCertificate } from './message.ts';
import { onReadOf, type ReadTaker } from './reused-reads.ts';

/** Time for TCP and TLS together. */
export const CONNECT_TIMEOUT_MS = 5_000;
/** For a handshake that would be begun again, once TCP is connected. */
const SETTLING_TIMEOUT_MS = 500;
/** From a handshake that failed to the next, where the other side may not have heard yet that it is to speak TLS. */
const SETTLING_PAUSE_MS = 50;

/** How to reach and trust a peer over mutual TLS. */
export interface PeerTls {
  /** Where the connection is to come from; undefined: the system chooses. */
  readonly localAddress: string | undefined;
  /**
   * Monotonic milliseconds. Who answers was to be spoken to in plaintext until just now, and may hear of TLS a little later: up to
   * here a handshake that breaks off is begun again, since nothing of a request has left. Absent: it speaks TLS.
   */
  readonly settledAt?: number;
  /** Asked at each connection, so that a renewal needs no new pool. */
  begin(): PeerHandshake;
}

/** One handshake with a peer. */
export interface PeerHandshake {
  /** The credentials in force. */
  readonly context: tls.SecureContext;
  /** A session to resume; undefined: there is none. */
  readonly session: Buffer | undefined;
  /** Judges the server's certificate; nothing else does. Throws a Refusal. */
  accept(socket: tls.TLSSocket): VerifiedCertificate;
  /** Takes a session that may be resumed, of a connection that was accepted. */
  keepSession(ticket: Buffer, certificate: VerifiedCertificate): void;
}

/** Says whether a plaintext connection has come back to this very process's listeners. */
export type IsOwnListener = (socket: net.Socket) => boolean;

/** How a plaintext connection leaves. */
export interface PlaintextWay {
  readonly isOwnListener: IsOwnListener;
  /** As that of PeerTls. */
  readonly localAddress?: string | undefined;
}

/** `certificate`: of the peer, where it has proved itself. */
export type Dialled = (
  error: UpstreamFailure | null,
  socket: net.Socket | null,
  certificate?: VerifiedCertificate,
) => void;

/**
 * Opens a connection to an app (plaintext) or a peer (mutual TLS 1.3); calls back once. `protocols`: what is offered by ALPN
 * (RFC 7301), best first; empty: nothing is. `reads`: takes what is read, in place of `data` events.
 */
export function dial(
  address: string,
  port: number,
  peer: PeerTls | undefined,
  callback: Dialled,
  plaintext?: PlaintextWay,
  protocols: readonly string[] = ['http/1.1'],
  reads?: ReadTaker,
): void {
  const attempt = () => {
    const isSettled = peer?.settledAt === undefined || performance.now() >= peer.settledAt;
    dialOnce(address, port, peer, isSettled ? undefined : again, callback, plaintext, protocols, reads);
  };
  const again = () => void setTimeout(attempt, SETTLING_PAUSE_MS);
  attempt();
}

/** `again`: called in place of `callback` where TCP was connected and the handshake failed. */
function dialOnce(
  address: string,
  port: number,
  peer: PeerTls | undefined,
  again: (() => void) | undefined,
  callback: Dialled,
  plaintext: PlaintextWay | undefined,
  protocols: readonly string[],
  reads: ReadTaker | undefined,
): void {
  const where = `${address}:${port}`;
  let isOver = false;
  let isConnected = false;
  const own = reads === undefined ? {} : { onread: onReadOf(reads) };
  const handshake = peer?.begin();
  const socket =
    handshake === undefined
      ? net.connect({ host: address, port, noDelay: true, allowHalfOpen: true, ...sourceOf(plaintext), ...own })
      : tls.connect({ ...tlsOptions(address, port, handshake, peer?.localAddress, protocols), ...own });
  const finish = (failure: UpstreamFailure | null, certificate?: VerifiedCertificate) => {
    if (isOver) return;
    isOver = true;
    clearTimeout(timer);
    socket.off('error', onError);
    if (failure === null) {
      callback(null, socket, certificate);
      return;
    }
    socket.on('error', () => {});
    socket.destroy();
    if (isConnected && again !== undefined && failure.kind === 'unreachable') again();
    else callback(failure, null);
  };
  const onError = (error: Error) => finish(new UpstreamFailure('unreachable', `${where}: ${error.message}`, true));
  const timeOut = (timeoutMs: number) =>
    setTimeout(
      () =>
        finish(
          new UpstreamFailure('unreachable', `${where}: no connection within connectTimeoutMs ${timeoutMs}`, true),
        ),
      timeoutMs,
    );
  let timer = timeOut(CONNECT_TIMEOUT_MS);
  socket.on('error', onError);
  if (again !== undefined) {
    socket.once('connect', () => {
      isConnected = true;
      clearTimeout(timer);
      timer = timeOut(SETTLING_TIMEOUT_MS);
    });
  }
  socket.once(peer === undefined ? 'connect' : 'secureConnect', () => {
    socket.setNoDelay(true);
    if (peer === undefined && plaintext?.isOwnListener(socket) === true) {
      finish(new UpstreamFailure('loop', `${where} is this sidecar`, true));
      return;
    }
    if (handshake === undefined || !(socket instanceof tls.TLSSocket)) finish(null);
    else secured(socket, handshake, where, finish);
  });
}

function secured(
  socket: tls.TLSSocket,
  handshake: PeerHandshake,
  where: string,
  finish: (failure: UpstreamFailure | null, certificate?: VerifiedCertificate) => void,
): void {
  try {
    const certificate = handshake.accept(socket);
    socket.on('session', (ticket) => handshake.keepSession(ticket, certificate));
    finish(null, certificate);
  } catch (error) {
    if (!(error instanceof Refusal)) finish(new UpstreamFailure('certificate', `${where}: ${String(error)}`, true));
    else if (error.code === 'upstream_identity_mismatch')
      finish(new UpstreamFailure('identity', `${where}: ${error.reason}`, true));
    else finish(new UpstreamFailure('certificate', `${where}: ${error.message}`, true));
  }
}

function sourceOf(plaintext: PlaintextWay | undefined): { readonly localAddress?: string } {
  return plaintext?.localAddress === undefined ? {} : { localAddress: plaintext.localAddress };
}

/** `allowHalfOpen` is read by node, and missing in its types. */
function tlsOptions(
  address: string,
  port: number,
  { context, session }: PeerHandshake,
  localAddress: string | undefined,
  protocols: readonly string[],
): tls.ConnectionOptions & { allowHalfOpen: boolean } {
  return {
    host: address,
    port,
    secureContext: context,
    allowHalfOpen: true,
    ...(session === undefined ? {} : { session }),
    ...(protocols.length === 0 ? {} : { ALPNProtocols: [...protocols] }),
    ...(localAddress === undefined ? {} : { localAddress }),
    rejectUnauthorized: false, // `accept` decides: OpenSSL knows neither SPIFFE IDs nor whose root is good for which
  };
}
