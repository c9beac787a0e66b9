import { Duplex } from 'node:stream';
import type { IncomingBody, OutgoingBody } from './message.ts';

/** A body that comes and one that goes as one byte stream: a WebSocket within a stream of HTTP/2 (RFC 8441). */
export class BodyDuplex extends Duplex {
  readonly #incoming: IncomingBody;
  readonly #outgoing: OutgoingBody;
  #hasStarted = false;
  #hasEnded = false;

  constructor(incoming: IncomingBody, outgoing: OutgoingBody) {
    super({ allowHalfOpen: true });
    this.#incoming = incoming;
    this.#outgoing = outgoing;
  }

  override _read(): void {
    if (this.#hasStarted) {
      this.#incoming.resume();
      return;
    }
    this.#hasStarted = true;
    this.#incoming.start({
      onChunk: (chunk) => {
        if (!this.push(Buffer.from(chunk))) this.#incoming.pause();
      },
      onEnd: () => {
        this.#hasEnded = true;
        this.push(null);
      },
      onError: (error) => this.destroy(error),
    });
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    if (this.#outgoing.write(chunk)) {
      callback();
      return;
    }
    this.#outgoing.onDrain = () => {
      this.#outgoing.onDrain = undefined;
      callback();
    };
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#outgoing.end([]);
    callback();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (!this.#hasEnded) this.#incoming.cancel();
    if (!this.writableFinished) this.#outgoing.abort(error ?? new Error('the other side is gone'));
    callback(error);
  }
}
