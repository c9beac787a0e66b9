import type { BodyConsumer, IncomingBody } from './message.ts';

/** Collects a body up to `maxBytes`. `isWhole` false: there is more; what came so far and the rest are in `body`. */
export type BufferedBody =
  | { readonly isWhole: true; readonly bytes: Buffer }
  | {
      readonly isWhole: false;
      readonly size: number;
      readonly body: IncomingBody;
      /** What came so far; it stays in `body`. */
      read(): Buffer;
    };

/** A body being read into memory; `fail` ends the wait. */
export interface Buffering {
  readonly result: Promise<BufferedBody>;
  fail(error: Error): void;
}

/** Reads a body into memory, at most `maxBytes` of it plus one chunk; rejects when it breaks off. */
export function bufferBody(body: IncomingBody, maxBytes: number, onProgress: () => void): Buffering {
  const { promise, resolve, reject } = Promise.withResolvers<BufferedBody>();
  const collector = new Collector(body, maxBytes, onProgress, resolve, reject);
  body.start(collector);
  return { result: promise, fail: reject };
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
    this.#onProgress();
    this.#chunks.push(Buffer.from(chunk));
    this.#size += chunk.length;
    if (this.#isOverflown || this.#size <= this.#maxBytes) return;
    this.#isOverflown = true;
    this.#source.pause();
    this.#resolve({ isWhole: false, size: this.#size, body: this, read: () => Buffer.concat(this.#chunks) });
  }

  onEnd(trailers: readonly string[]): void {
    if (this.#consumer !== undefined) this.#consumer.onEnd(trailers);
    else if (this.#isOverflown) this.#outcome = trailers;
    else {
      const [only] = this.#chunks;
      const bytes = this.#chunks.length === 1 && only !== undefined ? only : Buffer.concat(this.#chunks);
      this.#resolve({ isWhole: true, bytes });
    }
  }

  onError(error: Error): void {
    if (this.#consumer !== undefined) this.#consumer.onError(error);
    else if (this.#isOverflown) this.#outcome = error;
    else this.#reject(error);
  }

  start(consumer: BodyConsumer): void {
    this.#consumer = consumer;
    const chunks = this.#chunks;
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
