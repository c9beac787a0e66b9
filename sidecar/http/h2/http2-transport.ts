import type { Socket } from 'node:net';
import { type Flushable, flushAtEndOfTurn } from '../end-of-turn.ts';
import { type ReadTaker, takerOf } from '../reused-reads.ts';
import { SETTINGS_TIMEOUT } from './frame.ts';
import type { Http2Session } from './http2-session.ts';

/** The other side acknowledges our SETTINGS within this (RFC 9113 §6.5.3). */
export const SETTINGS_ACK_TIMEOUT_MS = 10_000;
/** With requests under way, a connection that is silent for this long is asked whether it lives. */
export const SILENCE_BEFORE_PING_MS = 20_000;
/** It answers within this, or is given up. */
export const PING_TIMEOUT_MS = 10_000;
/** Output of which not one byte was taken for this long: the connection ends. */
export const WRITE_STALL_TIMEOUT_MS = 30_000;
/** Bytes in the socket's own queue from which on bodies wait. */
const SOCKET_HIGH_WATER_BYTES = 262_144;
/** Output that only a peer can cause who has us answer and does not read: the connection ends. */
export const MAX_OUTPUT_BYTES = 16_777_216;
/** Time for the last answers to be taken, before the connection closes. The same as in HTTP/1.1. */
export const FLUSH_TIMEOUT_MS = 30_000;
/** Time for the other side to close, too; and all that a faulty one gets. */
const CLOSE_TIMEOUT_MS = 3_000;
const TICK_INTERVAL_MS = 1_000;

/** Between a session and its socket: writes once a turn, and keeps the connection's waits within their limits. */
export class Http2Transport implements Flushable {
  readonly #socket: Socket;
  readonly #session: Http2Session;
  readonly #onLost: (reason: string) => void;
  #isScheduled = false;
  #isClosing = false;
  #heardAt = performance.now();
  /** 0: no PING is under way. */
  #pingedAt = 0;
  readonly #openedAt = performance.now();
  #progressedAt = this.#openedAt;
  #progress = 0;

  /** `reads`: where what is read comes from, if not from the socket's `data` events. */
  constructor(socket: Socket, session: Http2Session, onLost: (reason: string) => void, reads?: ReadTaker) {
    this.#socket = socket;
    this.#session = session;
    this.#onLost = onLost;
    const take = (bytes: Buffer) => {
      const now = performance.now();
      this.#heardAt = now;
      this.#session.receive(bytes, now);
    };
    if (reads === undefined) socket.on('data', take);
    else reads.take = takerOf(take);
    socket.on('drain', () => this.#session.setCongested(false));
    socket.on('end', () => this.#lost('the other side ended the connection'));
    socket.on('error', (error: Error) => this.#lost(error.message));
    socket.on('close', () => this.#lost('the connection ended'));
    live.add(this);
    startTicking();
  }

  schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    flushAtEndOfTurn(this);
  }

  flush(): void {
    this.#isScheduled = false;
    const { output } = this.#session;
    const socket = this.#socket;
    if (output.length === 0) return;
    if (!socket.writable) {
      output.take();
      return;
    }
    output.send(socket);
    const waiting = socket.writableLength;
    if (waiting > SOCKET_HIGH_WATER_BYTES) {
      this.#session.setCongested(true);
      if (waiting > MAX_OUTPUT_BYTES) this.destroy(`output exceeds maxOutputBytes ${MAX_OUTPUT_BYTES}`);
    } else if (!this.#session.isCongested) this.#session.setCongested(false);
  }

  pingAcknowledged(): void {
    this.#pingedAt = 0;
  }

  /** Lets what was written leave within this time, then closes. */
  close(timeoutMs = CLOSE_TIMEOUT_MS): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.flush();
    const socket = this.#socket;
    let timer = setTimeout(() => socket.destroy(), timeoutMs);
    socket.once('close', () => clearTimeout(timer));
    socket.end(() => {
      clearTimeout(timer);
      timer = setTimeout(() => socket.destroy(), CLOSE_TIMEOUT_MS);
      // what the other side still sends is read and not kept, so that it gets to see our last frames
      socket.resume();
    });
  }

  destroy(reason: string): void {
    this.#lost(reason);
  }

  /** Looks at the waits of this connection. */
  tick(now: number): void {
    const session = this.#session;
    const socket = this.#socket;
    if (session.isUnacknowledged && now - this.#openedAt > SETTINGS_ACK_TIMEOUT_MS) {
      session.goaway(SETTINGS_TIMEOUT);
      this.flush();
      this.destroy(`SETTINGS not acknowledged within settingsAckTimeoutMs ${SETTINGS_ACK_TIMEOUT_MS}`);
      return;
    }
    const progress = socket.bytesWritten - socket.writableLength;
    if (socket.writableLength === 0 || progress !== this.#progress) {
      this.#progress = progress;
      this.#progressedAt = now;
    } else if (now - this.#progressedAt > WRITE_STALL_TIMEOUT_MS) {
      this.destroy(`no byte taken for writeStallTimeoutMs ${WRITE_STALL_TIMEOUT_MS}`);
      return;
    }
    if (this.#pingedAt > 0) {
      if (this.#heardAt > this.#pingedAt) this.#pingedAt = 0;
      else if (now - this.#pingedAt > PING_TIMEOUT_MS)
        this.destroy(`no sign of life within pingTimeoutMs ${PING_TIMEOUT_MS}`);
    } else if (session.streams.size > 0 && now - this.#heardAt > SILENCE_BEFORE_PING_MS) {
      this.#pingedAt = now;
      session.ping();
    }
  }

  #lost(reason: string): void {
    if (!live.delete(this)) return;
    this.#session.abandon(reason);
    this.#onLost(reason);
    const socket = this.#socket;
    if (!this.#isClosing) socket.destroy();
  }
}

/** Every connection of HTTP/2, for the one timer that looks at them. */
const live = new Set<Http2Transport>();
let ticking: NodeJS.Timeout | undefined;

function startTicking(): void {
  if (ticking !== undefined) return;
  ticking = setInterval(() => {
    const now = performance.now();
    for (const transport of live) transport.tick(now);
    if (live.size > 0) return;
    clearInterval(ticking);
    ticking = undefined;
  }, TICK_INTERVAL_MS);
  ticking.unref();
}
