import type { FlatHeaders } from '#policy/http/flat-headers.ts';
import type { BodyConsumer, IncomingBody } from '../http/message.ts';

/** A body that is there as a whole, as its reader wants it. */
export class WholeBody implements IncomingBody {
  readonly isPresent = true;
  readonly declaredLength: number;
  readonly #bytes: Buffer;
  readonly #trailers: FlatHeaders;

  constructor(bytes: Buffer, trailers: FlatHeaders) {
    this.#bytes = bytes;
    this.#trailers = trailers;
    this.declaredLength = bytes.length;
  }

  start(consumer: BodyConsumer): void {
    if (this.#bytes.length > 0) consumer.onChunk(this.#bytes);
    consumer.onEnd(this.#trailers);
  }

  pause(): void {}
  resume(): void {}
  cancel(): void {}
}
