import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { OutgoingBody, ResponseHead } from '../message.ts';
import { fieldLines } from '../serialize-head.ts';

/** How the end of a response is told (RFC 9112 §6.3). */
type Framing = 'none' | 'length' | 'chunked' | 'close';

/** Head and a body up to this size leave in one buffer. */
const MAX_JOINED_BYTES = 16_384;
const CHUNK_END = '\r\n';

export interface WriterSituation {
  readonly method: string;
  readonly version: '1.0' | '1.1';
  /** The connection ends after this response. */
  readonly isClosing: boolean;
}

/** What the connection has to know of a response. */
export interface WriterEvents {
  /** The last byte was handed to the socket; `isClosing`: nothing may follow on this connection. */
  onEnd(isClosing: boolean): void;
  /** `isReset`: the answer has no other end than that of the connection. */
  onAbort(isReset: boolean): void;
}

/**
 * Writes one response as HTTP/1.1. The head waits for the first chunk, so that a small response is one write, but
 * not beyond the turn of the event loop.
 */
export class ResponseWriter implements OutgoingBody {
  onDrain: (() => void) | undefined = undefined;
  readonly #socket: Socket;
  readonly #events: WriterEvents;
  readonly #framing: Framing;
  readonly #isClosing: boolean;
  /** Declared bytes still to come. */
  #left = 0;
  #head: string | undefined;
  #isEnded = false;

  constructor(socket: Socket, head: ResponseHead, situation: WriterSituation, events: WriterEvents) {
    this.#socket = socket;
    this.#events = events;
    const { method, version } = situation;
    const isBodiless = method === 'HEAD' || head.status === 204 || head.status === 304;
    const reason = head.reason === '' ? (STATUS_CODES[head.status] ?? '') : head.reason;
    let text = `HTTP/1.1 ${head.status} ${reason}\r\n`;
    let length: number | undefined;
    let hasDate = false;
    let isClosing = situation.isClosing;
    for (let index = 0; index < head.headers.length; index += 2) {
      const name = head.headers[index] ?? '';
      const value = head.headers[index + 1] ?? '';
      if (name.length === 10 && name.toLowerCase() === 'connection') {
        isClosing ||= value === 'close';
        continue; // written below, once
      }
      if (name.length === 14 && name.toLowerCase() === 'content-length') {
        if (head.status === 204) continue; // RFC 9110 §8.6
        length = Number(value);
      } else if (name.length === 4 && name.toLowerCase() === 'date') hasDate = true;
      text += `${name}: ${value}\r\n`;
    }
    this.#framing = isBodiless ? 'none' : length !== undefined ? 'length' : version === '1.1' ? 'chunked' : 'close';
    this.#left = length ?? 0;
    this.#isClosing = isClosing || this.#framing === 'close';
    if (this.#framing === 'chunked') text += 'transfer-encoding: chunked\r\n';
    if (!hasDate) text += `date: ${dateNow()}\r\n`;
    if (this.#isClosing) text += 'connection: close\r\n';
    else if (version === '1.0') text += 'connection: keep-alive\r\n';
    this.#head = `${text}\r\n`;
    flushAtEndOfTurn(this);
  }

  /** Sends the head by itself: an event stream's head must not wait for its first event. */
  flushHead(): void {
    if (this.#head === undefined) return;
    const head = this.#head;
    this.#head = undefined;
    this.#socket.write(head, 'latin1');
  }

  write(chunk: Buffer): boolean {
    if (this.#isEnded || this.#framing === 'none' || chunk.length === 0) return true;
    if (this.#framing === 'length') {
      this.#left -= chunk.length;
      if (this.#left < 0) {
        // bytes beyond the declared length would be read as the next response
        this.#isEnded = true;
        this.#head = undefined;
        this.#events.onAbort(false);
        return true;
      }
    }
    const prefix = this.#takePrefix(chunk.length);
    const suffix = this.#framing === 'chunked' ? CHUNK_END : '';
    return this.#send(prefix, chunk, suffix);
  }

  end(trailers: readonly string[]): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    if (this.#framing === 'length' && this.#left !== 0) {
      this.#events.onAbort(false); // fewer bytes than declared: the next response would be misread
      return;
    }
    let text = this.#head ?? '';
    this.#head = undefined;
    if (this.#framing === 'chunked') {
      text += `0\r\n${fieldLines(trailers)}\r\n`;
    }
    if (text !== '') this.#socket.write(text, 'latin1');
    this.#events.onEnd(this.#isClosing);
  }

  abort(_error: Error): void {
    this.#isEnded = true;
    this.#head = undefined;
    this.#events.onAbort(this.#framing === 'close');
  }

  #takePrefix(size: number): string {
    let prefix = this.#head ?? '';
    this.#head = undefined;
    if (this.#framing === 'chunked') prefix += `${size.toString(16)}\r\n`;
    return prefix;
  }

  #send(prefix: string, chunk: Buffer, suffix: string): boolean {
    const socket = this.#socket;
    if (prefix === '' && suffix === '') return socket.write(chunk);
    if (chunk.length <= MAX_JOINED_BYTES) {
      const joined = Buffer.allocUnsafe(prefix.length + chunk.length + suffix.length);
      joined.write(prefix, 0, 'latin1');
      chunk.copy(joined, prefix.length);
      joined.write(suffix, prefix.length + chunk.length, 'latin1');
      return socket.write(joined);
    }
    socket.cork();
    socket.write(prefix, 'latin1');
    const isWritable = socket.write(chunk);
    if (suffix !== '') socket.write(suffix, 'latin1');
    socket.uncork();
    return isWritable;
  }
}

/** Responses whose head was set in this turn of the event loop: one callback for all of them. */
let unflushed: ResponseWriter[] = [];

function flushAtEndOfTurn(writer: ResponseWriter): void {
  if (unflushed.push(writer) > 1) return;
  setImmediate(() => {
    const writers = unflushed;
    unflushed = [];
    for (const each of writers) each.flushHead();
  });
}

let dateSecond = 0;
let dateText = '';

/** RFC 9110 §6.6.1; made once a second. */
function dateNow(): string {
  const second = Math.floor(Date.now() / 1_000);
  if (second !== dateSecond) {
    dateSecond = second;
    dateText = new Date(second * 1_000).toUTCString();
  }
  return dateText;
}
