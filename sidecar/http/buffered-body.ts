import type { FlatHeaders } from '#policy/http/flat-headers.ts';
import { HeldBytes } from '#policy/http/held-bytes.ts';
import { JOINED_AT_ONCE_BYTES, joinBytes } from './join-bytes.ts';
import type { BodyConsumer, IncomingBody } from './message.ts';

/** Collects a body up to `maxBytes`. `isWhole` false: there is more; what came so far and the rest are in `body`. */
export type BufferedBody =
  | { readonly isWhole: true; readonly bytes: Buffer; readonly trailers: FlatHeaders }
  | {
      readonly isWhole: false;
      /** `longer`: than `maxBytes`. `slow`: it was let go. `no-room`: nothing of it was read. */
      readonly why: 'longer' | 'slow' | 'no-room';
      readonly size: number;
      readonly body: IncomingBody;
      /** What came so far; it stays in `body`. */
      read(): Buffer;
    };

/** A body being read into memory; `fail` ends the wait, `letGo` the reading. */
export interface Buffering {
  readonly result: Promise<BufferedBody>;
  fail(error: Error): void;
  letGo(): void;
}

/** Reads a body into memory, at most `maxBytes` of it plus one chunk; rejects when it breaks off. */
export function bufferBody(body: IncomingBody, maxBytes: number, onProgress: () => void): Buffering {
  const { promise, resolve, reject } = Promise.withResolvers<BufferedBody>();
  const collector = new Collector(body, maxBytes, onProgress, resolve, reject);
  body.start(collector);
  return { result: promise, fail: reject, letGo: () => collector.overflow('slow') };
}

class Collector implements BodyConsumer, IncomingBody {
  readonly isPresent = true;
  readonly declaredLength: number | undefined;
  readonly #source: IncomingBody;
  readonly #maxBytes: number;
  readonly #onProgress: () => void;
  readonly #resolve: (result: BufferedBody) => void;
  readonly #reject: (error: Error) => void;
  #held = new HeldBytes();
  /** Where a long body of known length comes to stand; pages of it that were not written to take no memory. */
  readonly #place: Buffer | undefined;
  #size = 0;
  #isOverflown = false;
  /** How the body ended, where that was known before its reader came. */
  #outcome: readonly string[] | Error | undefined;
  #consumer: BodyConsumer | undefined;

  constructor(
    source: IncomingBody,
    maxBytes: number,
    onProgress: () => void,
    resolve: (result: BufferedBody) => void,
    reject: (error: Error) => void,
  ) {
    this.#source = source;
    this.declaredLength = source.declaredLength;
    const length = source.declaredLength ?? 0;
    if (length > JOINED_AT_ONCE_BYTES && length <= maxBytes) this.#place = Buffer.from(new SharedArrayBuffer(length));
    this.#maxBytes = maxBytes;
    this.#onProgress = onProgress;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  onChunk(chunk: Buffer): void {
    if (this.#consumer !== undefined) {
      this.#consumer.onChunk(chunk);
      return;
    }
    if (!this.#isOverflown) this.#onProgress();
    if (this.#place === undefined) this.#held.push(chunk);
    else chunk.copy(this.#place, this.#size);
    this.#size += chunk.length;
    if (this.#size > this.#maxBytes) this.overflow('longer');
  }

  /** What came so far and the rest are its reader's to take on. */
  overflow(why: 'longer' | 'slow'): void {
    if (this.#isOverflown) return;
    this.#isOverflown = true;
    this.#source.pause();
    this.#resolve({ isWhole: false, why, size: this.#size, body: this, read: () => Buffer.concat(this.#taken()) });
  }

  #taken(): readonly Buffer[] {
    return this.#place === undefined ? this.#held.blocks() : [this.#place.subarray(0, this.#size)];
  }

  onEnd(trailers: readonly string[]): void {
    if (this.#consumer !== undefined) this.#consumer.onEnd(trailers);
    else if (this.#isOverflown) this.#outcome = trailers;
    else if (this.#place !== undefined) this.#resolve({ isWhole: true, bytes: this.#place, trailers });
    else {
      const bytes = joinBytes(this.#held);
      if (Buffer.isBuffer(bytes)) this.#resolve({ isWhole: true, bytes, trailers });
      else bytes.then((joined) => this.#resolve({ isWhole: true, bytes: joined, trailers }), this.#reject);
    }
  }

  onError(error: Error): void {
    if (this.#consumer !== undefined) this.#consumer.onError(error);
    else if (this.#isOverflown) this.#outcome = error;
    else this.#reject(error);
  }

  start(consumer: BodyConsumer): void {
    this.#consumer = consumer;
    const chunks = this.#taken();
    this.#held = new HeldBytes();
    for (const chunk of chunks) consumer.onChunk(chunk);
    if (this.#outcome instanceof Error) consumer.onError(this.#outcome);
    else if (this.#outcome !== undefined) consumer.onEnd(this.#outcome);
    else this.#source.resume();
  }

  pause(): void {
    this.#source.pause();
  }

  resume(): void {
    this.#source.resume();
  }

  cancel(): void {
    this.#held = new HeldBytes();
    this.#source.cancel();
  }
}
