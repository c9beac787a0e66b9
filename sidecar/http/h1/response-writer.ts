import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FlatHeaders } from '#policy/http/flat-headers.ts';
import { type Flushable, flushAtEndOfTurn } from '../end-of-turn.ts';
import type { OutgoingBody, ResponseHead } from '../message.ts';
import { nameRule } from '../name-rule.ts';
import { GatheredWrites } from './gathered-writes.ts';
import { MAX_JOINED_BYTES, message } from './message-bytes.ts';

/** How the end of a response is told (RFC 9112 §6.3). */
type Framing = 'none' | 'length' | 'chunked' | 'close';

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
 * Writes one response as HTTP/1.1. The head waits for the first chunk, so that a small response is one write, and the
 * pieces of a large one leave together; but nothing waits beyond the turn of the event loop.
 */
export class ResponseWriter implements OutgoingBody, Flushable {
  onDrain: (() => void) | undefined = undefined;
  readonly #socket: Socket;
  readonly #events: WriterEvents;
  readonly #framing: Framing;
  readonly #isClosing: boolean;
  readonly #version: '1.0' | '1.1';
  /** Declared bytes still to come. */
  #left = 0;
  /** Not sent yet. */
  #head: ResponseHead | undefined;
  #hasDate = false;
  #isEnded = false;
  #gathered: GatheredWrites | undefined;

  constructor(socket: Socket, head: ResponseHead, situation: WriterSituation, events: WriterEvents) {
    this.#socket = socket;
    this.#events = events;
    this.#head = head;
    this.#version = situation.version;
    const isBodiless = situation.method === 'HEAD' || head.status === 204 || head.status === 304;
    let length: number | undefined;
    let isClosing = situation.isClosing;
    for (let index = 0; index < head.headers.length; index += 2) {
      const { lower } = nameRule(head.headers[index] ?? '');
      const value = head.headers[index + 1] ?? '';
      if (lower === 'content-length') length = head.status === 204 ? undefined : Number(value);
      else if (lower === 'connection') isClosing ||= value === 'close';
      else if (lower === 'date') this.#hasDate = true;
    }
    const isChunked = length === undefined && this.#version === '1.1';
    this.#framing = isBodiless ? 'none' : length !== undefined ? 'length' : isChunked ? 'chunked' : 'close';
    this.#left = length ?? 0;
    this.#isClosing = isClosing || this.#framing === 'close';
    flushAtEndOfTurn(this);
  }

  /** Sends what waits: an event stream's head must not wait for its first event. */
  flush(): void {
    if (this.#head === undefined) return;
    this.#writeHead();
    message.send(this.#socket);
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
      if (this.#left === 0 && this.#gathered === undefined && chunk.length <= MAX_JOINED_BYTES) {
        this.#writeHead();
        message.copy(chunk);
        return message.send(this.#socket);
      }
    }
    const gathered = this.#gather();
    return this.#framing === 'chunked' ? gathered.addChunk(chunk) : gathered.add(chunk);
  }

  end(trailers: FlatHeaders): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    if (this.#framing === 'length' && this.#left !== 0) {
      this.#gathered?.flush();
      this.#events.onAbort(false); // fewer bytes than declared: the next response would be misread
      return;
    }
    this.#writeHead();
    if (this.#framing === 'chunked') {
      message.latin1('0\r\n');
      message.fields(trailers);
      message.lineEnd();
    }
    if (this.#gathered !== undefined) {
      this.#gathered.move(message);
      this.#gathered.flush();
    } else if (message.end > 0) message.send(this.#socket);
    this.#events.onEnd(this.#isClosing);
  }

  abort(_error: Error): void {
    this.#isEnded = true;
    this.#head = undefined;
    this.#gathered?.flush();
    this.#events.onAbort(this.#framing === 'close');
  }

  /** More of this response comes, perhaps in this turn: what there is of it leaves together. */
  #gather(): GatheredWrites {
    this.#gathered ??= new GatheredWrites(this.#socket);
    if (this.#head !== undefined) {
      this.#writeHead();
      this.#gathered.move(message);
    }
    return this.#gathered;
  }

  #writeHead(): void {
    const head = this.#head;
    if (head === undefined) return;
    this.#head = undefined;
    const { status, headers } = head;
    message.latin1('HTTP/1.1 ');
    message.integer(status);
    message.latin1(' ');
    message.latin1(head.reason === '' ? (STATUS_CODES[status] ?? '') : head.reason);
    message.lineEnd();
    for (let index = 0; index < headers.length; index += 2) {
      const name = headers[index] ?? '';
      const { lower } = nameRule(name);
      if (lower === 'connection' || (status === 204 && lower === 'content-length')) continue; // RFC 9110 §8.6
      message.field(name, headers[index + 1] ?? '');
    }
    if (this.#framing === 'chunked') message.latin1('transfer-encoding: chunked\r\n');
    if (!this.#hasDate) message.field('date', dateNow());
    if (this.#isClosing) message.latin1('connection: close\r\n');
    else if (this.#version === '1.0') message.latin1('connection: keep-alive\r\n');
    message.lineEnd();
  }
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
