import type { Socket } from 'node:net';
import { type Flushable, flushAtEndOfTurn } from '../end-of-turn.ts';
import { OutputBuffer } from '../output-buffer.ts';
import type { MessageBytes } from './message-bytes.ts';

/** Bytes that wait here or in the socket before their source is told to wait. */
const MAX_GATHERED_BYTES = 262_144;

/** The pieces of a body, copied as they come and sent together at the end of the turn of the event loop. */
export class GatheredWrites implements Flushable {
  readonly #socket: Socket;
  readonly #output = new OutputBuffer();
  #isScheduled = false;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** A piece of a body as it is. False: enough for now; the socket will say `drain`. */
  add(chunk: Buffer): boolean {
    this.#output.copy(chunk);
    return this.#wrote();
  }

  /** The same as a chunk (RFC 9112 §7.1). */
  addChunk(chunk: Buffer): boolean {
    this.text(`${chunk.length.toString(16)}\r\n`);
    this.#output.copy(chunk);
    this.text('\r\n');
    return this.#wrote();
  }

  /** What was written there goes here. */
  move(message: MessageBytes): void {
    this.#output.copy(message.bytes.subarray(0, message.end));
    message.reset();
    this.#schedule();
  }

  /** Latin-1. */
  text(text: string): void {
    this.#output.reserve(text.length);
    this.#output.end += this.#output.bytes.latin1Write(text, this.#output.end);
    this.#schedule();
  }

  /** Sends what is there. False: the socket has enough for now. */
  flush(): boolean {
    this.#isScheduled = false;
    if (this.#socket.writable) return this.#output.send(this.#socket);
    this.#output.take();
    return true;
  }

  #wrote(): boolean {
    this.#schedule();
    if (this.#output.length >= MAX_GATHERED_BYTES) this.flush();
    return !this.#socket.writableNeedDrain || this.#socket.writableLength < MAX_GATHERED_BYTES;
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    flushAtEndOfTurn(this);
  }
}
