import net from 'node:net';
import { type SecureContextOptions, TLSSocket } from 'node:tls';
import { Refusal } from '#policy/error/refusal.ts';
import type { MtlsMode } from '#policy/workload-policy.ts';
import { Http1ServerConnection } from '../http/h1/server-connection.ts';
import { Http2ServerConnection } from '../http/h2/server-connection.ts';
import type { Caller, ImmediateResponse, ServerRequest, VerifiedCertificate } from '../http/message.ts';
import type { ConnectionHandlers, ServedConnection } from '../http/served-connection.ts';
import { logEvent } from '../operational-log.ts';
import { type ConnectionBudget, openConnections } from '../pressure/connection-budget.ts';
import { processPressure, watchPressure } from '../pressure/process-pressure.ts';
import { closeOldestIdle } from './close-oldest-idle.ts';
import { FirstBytes, type Question } from './first-bytes.ts';
import { PERMISSIVE, type PortProtocol, type Speech, WHICH_HTTP, WHICH_PROTOCOL } from './questions.ts';
import { SecureAcceptor } from './secure-acceptor.ts';
import type { TcpConnection } from './tcp-connection.ts';
import { HELD_TIMEOUT_MS, WaitingRoom } from './waiting-room.ts';

/** From the first byte of a request to the end of its header block; more is 408. */
export const HEADER_TIMEOUT_MS = 10_000;
/** A connection without a request is closed after this. Longer than the pools of our own clients keep it. */
export const KEEP_ALIVE_TIMEOUT_MS = 75_000;
/** Answers of which a caller took not one byte for this long: its connection ends. */
export const WRITE_STALL_TIMEOUT_MS = 30_000;
/** How often the limits above, and connections that wait, are looked at. */
const CHECK_INTERVAL_MS = 1_000;
const BACKLOG = 4_096;
const HTTP_ALPN = ['h2', 'http/1.1'];

/** What a listener shares with others. */
export interface ListenerLimits {
  readonly connections: ConnectionBudget;
  /** Why nothing new is begun now; undefined: it is. */
  readonly pressure: { readonly reason: string | undefined };
}

const PROCESS_LIMITS: ListenerLimits = { connections: openConnections, pressure: processPressure };

export interface ListenerHandlers {
  onRequest(request: ServerRequest): void;
  /** Bytes that are no request: what to answer, if anything. */
  onUnreadable(caller: Caller, refusal: Refusal): ImmediateResponse | undefined;
}

/** What makes a listener one for other workloads: mutual TLS, and more than HTTP. */
export interface MeshPort {
  /** What the app behind it speaks; `tcp` is never looked into, `http` never served as TCP. */
  readonly protocol: PortProtocol;
  readonly context: SecureContextOptions;
  /** Judges the caller's certificate; throws a Refusal to close the connection. */
  verify(socket: TLSSocket): VerifiedCertificate;
  /** Asked at each connection: PERMISSIVE serves plaintext as well, whose callers have no certificate. */
  mode(): MtlsMode;
  /** A connection that is no HTTP (`tcp`, `auto`). Its socket is the handler's to end. */
  onTcp(connection: TcpConnection): void;
  /** A connection that was closed before it spoke. */
  onRefusedConnection(address: string, refusal: Refusal): void;
}

/**
 * Accepts connections, secures them, finds out what they speak, and serves them. Without a `MeshPort`: plaintext HTTP.
 * Under pressure, or with as many connections as may be, further ones wait unread, and idle ones make room.
 */
export class Listener {
  readonly #server: net.Server;
  readonly #handlers: ConnectionHandlers;
  readonly #meshPort: MeshPort | undefined;
  readonly #acceptor: SecureAcceptor | undefined;
  readonly #connections = new Set<ServedConnection>();
  /** Those of a MeshPort that came in plaintext. */
  readonly #plaintext = new Set<ServedConnection>();
  /** Every accepted socket that does not wait, also those whose TLS handshake is not complete. */
  readonly #sockets = new Set<net.Socket>();
  readonly #waiting = new WaitingRoom();
  readonly #limits: ListenerLimits;
  readonly #timer: NodeJS.Timeout;
  #isDraining = false;

  constructor(handlers: ListenerHandlers, meshPort?: MeshPort, limits = PROCESS_LIMITS) {
    this.#limits = limits;
    this.#handlers = {
      onRequest: (request) => handlers.onRequest(request),
      onUnreadable: (caller, refusal) => handlers.onUnreadable(caller, refusal),
      onClosed: (closed) => this.#forget(closed),
    };
    this.#meshPort = meshPort;
    if (meshPort !== undefined) {
      this.#acceptor = new SecureAcceptor(meshPort.context, meshPort.protocol === 'tcp' ? [] : HTTP_ALPN, {
        verify: (socket) => meshPort.verify(socket),
        onSecure: (socket, certificate) => this.#serveSecure(socket, certificate),
        onRefused: (address, refusal) => meshPort.onRefusedConnection(address, refusal),
      });
    }
    const options = { noDelay: true, allowHalfOpen: true, pauseOnConnect: true };
    this.#server = net.createServer(options, (socket) => this.#accept(socket));
    this.#timer = setInterval(() => this.#sweep(performance.now()), CHECK_INTERVAL_MS);
    this.#timer.unref();
  }

  /** Serves new connections by these certificates; open ones go on. */
  renew(context: SecureContextOptions): void {
    this.#acceptor?.renew(context);
  }

  /** Resolves to the port that is bound. `isShared`: other threads listen on it too, and the kernel deals connections out. */
  open(port: number, address: string, isShared = false): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ port, host: address, backlog: BACKLOG, reusePort: isShared }, () => {
        this.#server.off('error', reject);
        this.#server.on('error', (error) => logEvent('accept_failed', { port, error: error.message }));
        if (this.#limits === PROCESS_LIMITS) watchPressure();
        const bound = this.#server.address();
        resolve(typeof bound === 'object' && bound !== null ? bound.port : port);
      });
    });
  }

  /**
   * Stops accepting; idle connections end now, busy ones after their response, those of TCP when their two sides have
   * ended them. Resolves when all have ended.
   */
  drain(): Promise<void> {
    this.#isDraining = true;
    return new Promise((resolve) => {
      this.#server.close(() => {
        clearInterval(this.#timer);
        resolve();
      });
      for (const connection of this.#connections) connection.drain();
      this.#waiting.clear();
    });
  }

  /** Ends every connection. */
  destroy(): void {
    this.#server.close();
    clearInterval(this.#timer);
    for (const { socket } of this.#connections) socket.destroy();
    for (const socket of this.#sockets) socket.destroy();
    this.#waiting.clear();
  }

  /** Connections that are served, and those that wait. */
  get counts(): { readonly open: number; readonly waiting: number; readonly turnedAway: number } {
    return { open: this.#sockets.size, waiting: this.#waiting.size, turnedAway: this.#waiting.turnedAway };
  }

  #accept(socket: net.Socket): void {
    if (this.#waiting.size === 0 && this.#hasRoom) this.#admit(socket);
    else this.#waiting.hold(socket, performance.now());
  }

  get #hasRoom(): boolean {
    return this.#limits.pressure.reason === undefined && !this.#limits.connections.isExhausted;
  }

  /** Those that wait, while there is room. */
  #admitWaiting(): void {
    while (this.#waiting.size > 0 && this.#hasRoom) {
      const socket = this.#waiting.next();
      if (socket !== undefined) this.#admit(socket);
    }
  }

  #admit(socket: net.Socket): void {
    this.#sockets.add(socket);
    this.#limits.connections.count++;
    socket.once('close', () => {
      this.#sockets.delete(socket);
      this.#limits.connections.count--;
      if (this.#waiting.size > 0) this.#admitWaiting();
    });
    if (this.#meshPort === undefined) this.#ask(WHICH_HTTP, socket, undefined);
    else if (this.#meshPort.mode() === 'STRICT') this.#acceptor?.accept(socket);
    else this.#ask(PERMISSIVE[this.#meshPort.protocol], socket, undefined);
  }

  #serveSecure(socket: TLSSocket, certificate: VerifiedCertificate): void {
    const protocol = this.#meshPort?.protocol;
    if (socket.alpnProtocol === 'h2') this.#serve('http2', socket, certificate);
    else if (socket.alpnProtocol === 'http/1.1' || protocol === 'http') this.#serve('http1', socket, certificate);
    else if (protocol === 'tcp') this.#serve('tcp', socket, certificate);
    else this.#ask(WHICH_PROTOCOL, socket, certificate);
  }

  /** Learns from the first bytes what the connection speaks. */
  #ask(question: Question<Speech>, socket: net.Socket, certificate: VerifiedCertificate | undefined): void {
    const pending = new FirstBytes<Speech>(
      socket,
      question,
      (speech, bytes, refusal) => {
        this.#forget(pending);
        if (speech !== 'late-tcp') this.#serve(speech, socket, certificate, bytes, refusal);
        else this.#serveTcp(socket, certificate, bytes, (more) => isNotTcp(question.judge(more)));
      },
      () => this.#forget(pending),
    );
    this.#keep(pending);
    socket.resume();
  }

  /** `bytes`: what was read of the paused socket already. `refusal`: it took too long, so that is all to be said. */
  #serve(
    speech: Exclude<Speech, 'late-tcp'>,
    socket: net.Socket,
    certificate: VerifiedCertificate | undefined,
    bytes?: Buffer,
    refusal?: Refusal,
  ): void {
    switch (speech) {
      case 'tls':
        if (bytes !== undefined) socket.unshift(bytes);
        this.#acceptor?.accept(socket);
        return;
      case 'tcp':
        this.#serveTcp(socket, certificate, bytes, undefined);
        return;
      case 'unrecognized': {
        const reason = `${bytes?.length ?? 0} bytes came that begin neither TLS nor HTTP (protocol http, PERMISSIVE)`;
        this.#meshPort?.onRefusedConnection(addressOf(socket), new Refusal('unrecognized_protocol', reason));
        socket.on('error', () => {});
        socket.destroy();
        return;
      }
      default: {
        if (bytes !== undefined) socket.resume(); // in the next turn: the connection listens by then
        const Connection = speech === 'http2' ? Http2ServerConnection : Http1ServerConnection;
        const connection = new Connection(socket, callerOf(socket, certificate), this.#handlers, bytes);
        this.#keep(connection);
        if (refusal !== undefined) connection.refuse(refusal);
      }
    }
  }

  #serveTcp(
    socket: net.Socket,
    certificate: VerifiedCertificate | undefined,
    bytes: Buffer | undefined,
    isOtherProtocol: TcpConnection['isOtherProtocol'],
  ): void {
    socket.pause();
    const caller = callerOf(socket, certificate);
    this.#meshPort?.onTcp({ socket, caller, firstBytes: bytes ?? Buffer.alloc(0), isOtherProtocol });
  }

  #keep(connection: ServedConnection): void {
    this.#connections.add(connection);
    if (this.#meshPort !== undefined && !(connection.socket instanceof TLSSocket)) this.#plaintext.add(connection);
    if (this.#isDraining) connection.drain(); // its handshake, or its first bytes, came after all others were told
  }

  #forget(connection: ServedConnection): void {
    this.#connections.delete(connection);
    this.#plaintext.delete(connection);
  }

  #sweep(now: number): void {
    for (const connection of this.#connections) {
      const { kind, since } = connection.state;
      if (kind === 'write' && now - since > WRITE_STALL_TIMEOUT_MS) connection.socket.destroy();
      else if (kind === 'head' && now - since > HEADER_TIMEOUT_MS) {
        const reason = `no complete header block within headerTimeoutMs ${HEADER_TIMEOUT_MS}`;
        connection.refuse(new Refusal('request_timeout', reason));
      } else if (kind === 'idle' && now - since > KEEP_ALIVE_TIMEOUT_MS) connection.drain();
    }
    const isUnderPressure = this.#limits.pressure.reason !== undefined;
    if (isUnderPressure || this.#waiting.size > 0) closeOldestIdle(this.#connections);
    this.#admitWaiting();
    const late = this.#waiting.sweep(now);
    if (late > 0) {
      const reason =
        this.#limits.pressure.reason ?? `connections exceed maxConnections ${this.#limits.connections.limit}`;
      logEvent('connections_turned_away', { count: late, reason: `${reason}, for heldTimeoutMs ${HELD_TIMEOUT_MS}` });
    }
    if (this.#plaintext.size > 0 && this.#meshPort?.mode() === 'STRICT') this.#endPlaintext();
  }

  /** Policy does not serve plaintext any more: what is under way goes on, no further request does. */
  #endPlaintext(): void {
    for (const connection of this.#plaintext) connection.drain();
    this.#plaintext.clear();
  }
}

/** Undefined: not known yet. */
function isNotTcp(speech: Speech | undefined): boolean | undefined {
  return speech === undefined ? undefined : speech !== 'tcp';
}

function addressOf(socket: net.Socket): string {
  return socket.remoteAddress ?? '';
}

function callerOf(socket: net.Socket, certificate: VerifiedCertificate | undefined): Caller {
  return { address: addressOf(socket), port: socket.remotePort ?? 0, certificate };
}
