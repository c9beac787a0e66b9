import net from 'node:net';
import { type SecureContextOptions, TLSSocket } from 'node:tls';
import { Refusal } from '#policy/error/refusal.ts';
import { Http1ServerConnection } from '../http/h1/server-connection.ts';
import { Http2ServerConnection } from '../http/h2/server-connection.ts';
import type { Caller, VerifiedCertificate } from '../http/message.ts';
import type { ConnectionHandlers, ServedConnection } from '../http/served-connection.ts';
import type { ConnectionLife } from '../identity/connection-life.ts';
import { logEvent } from '../operational-log.ts';
import { type ConnectionBudget, openConnections } from '../pressure/connection-budget.ts';
import { processPressure, watchPressure } from '../pressure/process-pressure.ts';
import { closeOldestIdle } from './close-oldest-idle.ts';
import { FirstBytes, type Question } from './first-bytes.ts';
import { HANDSHAKE_HELD_MS, holdHandshake } from './held-handshake.ts';
import type { ChooseLane, Lane } from './lane.ts';
import { PlaintextConnections } from './plaintext-connections.ts';
import { PERMISSIVE, PLAINTEXT, type Speech, WHICH_HTTP, WHICH_PROTOCOL } from './questions.ts';
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

/** What makes a listener one for other workloads: mutual TLS. */
export interface MeshSecurity {
  /** What to serve with, now. */
  context(): SecureContextOptions;
  /** When its certificate ends; milliseconds since the epoch. */
  ownEndMs(): number;
  /** Judges the caller's certificate; throws a Refusal to close the connection. `ownEndMs`: of what was shown to it. */
  verify(socket: TLSSocket, ownEndMs: number): VerifiedCertificate;
  /** Calls back when there is another context. */
  onChange(listener: () => void): void;
}

/** A lane, and what its connections tell this listener. */
interface ServedLane {
  readonly lane: Lane;
  readonly handlers: ConnectionHandlers;
}

/**
 * Accepts connections, secures them, finds out what they speak, and serves them, all on one lane or each on that which
 * `ChooseLane` finds for it.
 * Under pressure, or with as many connections as may be, further ones wait unread, and idle ones make room.
 */
export class Listener {
  /** One an address. */
  readonly #servers: net.Server[] = [];
  readonly #laneOf: (socket: net.Socket) => ServedLane | undefined;
  readonly #acceptor: SecureAcceptor<ServedLane> | undefined;
  readonly #connections = new Set<ServedConnection>();
  readonly #plaintext = new PlaintextConnections();
  /** Those that stand on certificates, and are not draining yet. */
  readonly #secured = new Map<ServedConnection, ConnectionLife>();
  /** Every accepted socket that does not wait, also those whose TLS handshake is not complete. */
  readonly #sockets = new Set<net.Socket>();
  readonly #waiting = new WaitingRoom();
  readonly #limits: ListenerLimits;
  readonly #timer: NodeJS.Timeout;
  #isDraining = false;

  constructor(lane: Lane | ChooseLane, security?: MeshSecurity, limits = PROCESS_LIMITS) {
    this.#limits = limits;
    if (typeof lane === 'function') {
      this.#laneOf = (socket) => {
        const chosen = lane(socket);
        return chosen === undefined ? undefined : this.#served(chosen);
      };
    } else {
      const served = this.#served(lane);
      this.#laneOf = () => served;
    }
    if (security !== undefined) {
      const acceptor = new SecureAcceptor<ServedLane>(security.context(), HTTP_ALPN, {
        ownEndMs: () => security.ownEndMs(),
        verify: (socket, ownEndMs) => security.verify(socket, ownEndMs),
        onSecure: (served, socket, certificate) => this.#serveSecure(served, socket, certificate),
        onRefused: ({ lane }, address, refusal) => lane.onRefusedConnection(address, refusal),
      });
      this.#acceptor = acceptor;
      security.onChange(() => acceptor.renew(security.context()));
    }
    this.#timer = setInterval(() => this.#sweep(performance.now()), CHECK_INTERVAL_MS);
    this.#timer.unref();
  }

  #served(lane: Lane): ServedLane {
    const handlers: ConnectionHandlers = {
      onRequest: (request) => lane.onRequest(request),
      onUnreadable: (caller, refusal) => lane.onUnreadable(caller, refusal),
      onClosed: (closed) => this.#forget(closed),
    };
    return { lane, handlers };
  }

  /**
   * Listens on one more address. Resolves to the port that is bound. `isShared`: other threads listen on it too, and the kernel
   * deals connections out.
   */
  open(port: number, address: string, isShared = false): Promise<number> {
    const options = { noDelay: true, allowHalfOpen: true, pauseOnConnect: true };
    const server = net.createServer(options, (socket) => this.#accept(socket));
    const binding = { port, host: address, backlog: BACKLOG, reusePort: isShared, ipv6Only: address.includes(':') };
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(binding, () => {
        this.#servers.push(server);
        server.off('error', reject);
        server.on('error', (error) => logEvent('accept_failed', { port, error: error.message }));
        if (this.#limits === PROCESS_LIMITS) watchPressure();
        const bound = server.address();
        resolve(typeof bound === 'object' && bound !== null ? bound.port : port);
      });
    });
  }

  /**
   * Stops accepting; idle connections end now, busy ones after their response, those of TCP when their two sides have
   * ended them. Resolves when all have ended.
   */
  async drain(): Promise<void> {
    this.#isDraining = true;
    const closed = this.#servers.map((server) => new Promise((resolve) => server.close(resolve)));
    for (const connection of this.#connections) connection.drain();
    this.#waiting.clear();
    await Promise.all(closed);
    clearInterval(this.#timer);
  }

  /** Ends every connection. */
  destroy(): void {
    for (const server of this.#servers) server.close();
    clearInterval(this.#timer);
    for (const { socket } of this.#connections) socket.destroy();
    for (const socket of this.#sockets) socket.destroy();
    this.#waiting.clear();
  }

  /** Connections that are served, and those that wait. */
  get counts(): { readonly open: number; readonly waiting: number; readonly turnedAway: number } {
    const turnedAway = this.#waiting.turnedAway + (this.#acceptor?.turnedAway ?? 0);
    return { open: this.#sockets.size, waiting: this.#waiting.size, turnedAway };
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
    const served = this.#laneOf(socket);
    if (served === undefined) {
      socket.on('error', () => {});
      socket.destroy();
      return;
    }
    const { protocol } = served.lane;
    switch (served.lane.mode()) {
      case 'STRICT':
        this.#acceptor?.accept(socket, served, protocol !== 'tcp');
        return;
      case 'PERMISSIVE':
        this.#ask(PERMISSIVE[protocol], served, socket, undefined);
        return;
      case 'DISABLE':
        if (protocol === 'tcp') this.#serve('tcp', served, socket, undefined);
        else this.#ask(PLAINTEXT[protocol], served, socket, undefined);
        return;
      case 'OWN':
        if (protocol === 'tcp') this.#serve('tcp', served, socket, undefined);
        else this.#ask(protocol === 'http' ? WHICH_HTTP : WHICH_PROTOCOL, served, socket, undefined);
    }
  }

  #serveSecure(served: ServedLane, socket: TLSSocket, certificate: VerifiedCertificate): void {
    const { protocol } = served.lane;
    if (socket.alpnProtocol === 'h2') this.#serve('http2', served, socket, certificate);
    else if (socket.alpnProtocol === 'http/1.1' || protocol === 'http')
      this.#serve('http1', served, socket, certificate);
    else if (protocol === 'tcp') this.#serve('tcp', served, socket, certificate);
    else this.#ask(WHICH_PROTOCOL, served, socket, certificate);
  }

  /** Learns from the first bytes what the connection speaks. */
  #ask(
    question: Question<Speech>,
    served: ServedLane,
    socket: net.Socket,
    certificate: VerifiedCertificate | undefined,
  ): void {
    const pending = new FirstBytes<Speech>(
      socket,
      question,
      (speech, bytes, refusal) => {
        this.#forget(pending);
        if (speech !== 'late-tcp') this.#serve(speech, served, socket, certificate, bytes, refusal);
        else this.#serveTcp(served, socket, certificate, bytes, (more) => isNotTcp(question.judge(more)));
      },
      () => this.#forget(pending),
    );
    this.#keep(pending, served);
    socket.resume();
  }

  /** `bytes`: what was read of the paused socket already. `refusal`: it took too long, so that is all to be said. */
  #serve(
    speech: Exclude<Speech, 'late-tcp'>,
    served: ServedLane,
    socket: net.Socket,
    certificate: VerifiedCertificate | undefined,
    bytes?: Buffer,
    refusal?: Refusal,
  ): void {
    switch (speech) {
      case 'tls':
        if (bytes !== undefined) socket.unshift(bytes);
        this.#acceptor?.accept(socket, served, served.lane.protocol !== 'tcp');
        return;
      case 'tcp':
        this.#serveTcp(served, socket, certificate, bytes, undefined);
        return;
      case 'unrecognized': {
        const reason = `${bytes?.length ?? 0} bytes came that begin neither TLS nor HTTP (protocol http, PERMISSIVE)`;
        refuseConnection(served, socket, new Refusal('unrecognized_protocol', reason));
        return;
      }
      case 'unwanted-tls':
        holdHandshake(served.lane, socket, (isSpoken) => {
          if (isSpoken) this.#serve('tls', served, socket, certificate, bytes);
          else refuseConnection(served, socket, new Refusal('tls_disabled', TLS_DISABLED));
        });
        return;
      default: {
        if (certificate === undefined) served.lane.onPlaintext?.(addressOf(socket));
        if (bytes !== undefined) socket.resume(); // in the next turn: the connection listens by then
        const Connection = speech === 'http2' ? Http2ServerConnection : Http1ServerConnection;
        const connection = new Connection(socket, callerOf(socket, certificate), served.handlers, bytes);
        this.#keep(connection, served);
        if (certificate !== undefined) this.#secured.set(connection, certificate.life);
        if (refusal !== undefined) connection.refuse(refusal);
      }
    }
  }

  #serveTcp(
    { lane }: ServedLane,
    socket: net.Socket,
    certificate: VerifiedCertificate | undefined,
    bytes: Buffer | undefined,
    isOtherProtocol: TcpConnection['isOtherProtocol'],
  ): void {
    socket.pause();
    if (certificate === undefined) {
      lane.onPlaintext?.(addressOf(socket));
      if (this.#acceptor !== undefined) this.#plaintext.add(socket, lane);
    }
    const caller = callerOf(socket, certificate);
    lane.onTcp({ socket, caller, firstBytes: bytes ?? Buffer.alloc(0), isOtherProtocol });
  }

  #keep(connection: ServedConnection, { lane }: ServedLane): void {
    this.#connections.add(connection);
    const { socket } = connection;
    if (this.#acceptor !== undefined && !(socket instanceof TLSSocket)) this.#plaintext.add(socket, lane, connection);
    if (this.#isDraining) connection.drain(); // its handshake, or its first bytes, came after all others were told
  }

  #forget(connection: ServedConnection): void {
    this.#connections.delete(connection);
    this.#plaintext.delete(connection.socket);
    this.#secured.delete(connection);
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
    this.#plaintext.sweep(now);
    this.#drainEnding(Date.now());
  }

  /** Who calls takes a new connection before the certificates of this one end; then it is cut (proven-connections.ts). */
  #drainEnding(nowMs: number): void {
    for (const [connection, life] of this.#secured) {
      if (nowMs < life.drainAtMs) continue;
      connection.drain();
      this.#secured.delete(connection);
    }
  }
}

/** Undefined: not known yet. */
function isNotTcp(speech: Speech | undefined): boolean | undefined {
  return speech === undefined ? undefined : speech !== 'tcp';
}

const TLS_DISABLED = `TLS came to a port of protocol http that is DISABLE, and was so for handshakeHeldMs ${HANDSHAKE_HELD_MS}`;

function refuseConnection({ lane }: ServedLane, socket: net.Socket, refusal: Refusal): void {
  lane.onRefusedConnection(addressOf(socket), refusal);
  socket.on('error', () => {});
  socket.destroy();
}

function addressOf(socket: net.Socket): string {
  return socket.remoteAddress ?? '';
}

function callerOf(socket: net.Socket, certificate: VerifiedCertificate | undefined): Caller {
  const caller = { address: addressOf(socket), port: socket.remotePort ?? 0, certificate };
  const serverName = socket instanceof TLSSocket ? nameAskedFor(socket) : undefined;
  return serverName === undefined ? caller : { ...caller, serverName };
}

/** Node has it, false where there was none, and documents it of clients alone. */
function nameAskedFor(socket: TLSSocket): string | undefined {
  const name: unknown = 'servername' in socket ? socket.servername : undefined;
  return typeof name === 'string' && name !== '' ? name : undefined;
}
