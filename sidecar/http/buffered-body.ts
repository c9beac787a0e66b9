import type { FlatHeaders } from '#policy/http/flat-headers.ts';
import type { BodyConsumer, IncomingBody } from './message.ts';

/** Longer bodies are joined some at a time, in memory that other threads can read. */
export const JOINED_AT_ONCE_BYTES = 256 * 1024;
/** How much of such a body is joined in one turn of the event loop: about a millisecond. */
const JOINED_A_TURN_BYTES = 2 * 1024 * 1024;

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
  #chunks: Buffer[] = [];
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
    if (this.#place === undefined) this.#chunks.push(Buffer.from(chunk));
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
    return this.#place === undefined ? this.#chunks : [this.#place.subarray(0, this.#size)];
  }

  onEnd(trailers: readonly string[]): void {
    if (this.#consumer !== undefined) this.#consumer.onEnd(trailers);
    else if (this.#isOverflown) this.#outcome = trailers;
    else if (this.#place !== undefined) this.#resolve({ isWhole: true, bytes: this.#place, trailers });
    else if (this.#size > JOINED_AT_ONCE_BYTES) this.#joinShared(trailers);
    else {
      const [only] = this.#chunks;
      const bytes = this.#chunks.length === 1 && only !== undefined ? only : Buffer.concat(this.#chunks);
      this.#resolve({ isWhole: true, bytes, trailers });
    }
  }

  /** Copies some of it a turn, so that nobody waits for the whole. */
  #joinShared(trailers: FlatHeaders): void {
    const bytes = Buffer.from(new SharedArrayBuffer(this.#size));
    const chunks = this.#chunks;
    this.#chunks = [];
    let index = 0;
    let at = 0;
    const join = () => {
      for (const end = at + JOINED_A_TURN_BYTES; at < end && index < chunks.length; index++) {
        at += chunks[index]?.copy(bytes, at) ?? 0;
      }
      if (index < chunks.length) setImmediate(join);
      else this.#resolve({ isWhole: true, bytes, trailers });
    };
    join();
  }

  onError(error: Error): void {
    if (this.#consumer !== undefined) this.#consumer.onError(error);
    else if (this.#isOverflown) this.#outcome = error;
    else this.#reject(error);
  }

  start(consumer: BodyConsumer): void {
    this.#consumer = consumer;
    const chunks = this.#taken();
    this.#chunks = [];
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
    this.#chunks = [];
    this.#source.cancel();
  }
}
