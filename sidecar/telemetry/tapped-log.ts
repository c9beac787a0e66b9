import type { Writable } from 'node:stream';
import type { LogSink } from './log-sink.ts';
import { Tap, type TappedLine } from './tap.ts';
import type { TapRequest } from './tap-request.ts';

/** Taps that one sidecar serves at a time. */
export const MAX_TAPS = 4;

/**
 * The access log on its way to where it goes, so that operators can look on. While nobody does, blocks of lines pass
 * as they are, and with `accessLog: off` none are made.
 */
export class TappedLog implements LogSink {
  readonly #sink: LogSink | undefined;
  readonly #taps = new Set<Tap>();
  readonly #listeners: ((isWanted: boolean) => void)[] = [];

  /** `sink` undefined: lines are for taps only. */
  constructor(sink: LogSink | undefined) {
    this.#sink = sink;
  }

  /** False: nobody reads lines, none need be made. */
  get isWanted(): boolean {
    return this.#sink !== undefined || this.#taps.size > 0;
  }

  /** Calls back with `isWanted` now and each time it may have changed. */
  onWanted(listener: (isWanted: boolean) => void): void {
    this.#listeners.push(listener);
    listener(this.isWanted);
  }

  write(bytes: Uint8Array, done: (error: Error | null) => void): void {
    if (this.#taps.size > 0) this.#show(bytes);
    if (this.#sink === undefined) done(null);
    else this.#sink.write(bytes, done);
  }

  /** False: MAX_TAPS look on already. */
  get hasRoom(): boolean {
    return this.#taps.size < MAX_TAPS;
  }

  /** False: there was no room. */
  open(request: TapRequest, out: Writable): boolean {
    if (!this.hasRoom) return false;
    const tap = new Tap(request, out, (ended) => {
      this.#taps.delete(ended);
      this.#tell();
    });
    this.#taps.add(tap);
    this.#tell();
    return true;
  }

  /** Ends all taps, and the sink. */
  close(): void {
    for (const tap of [...this.#taps]) tap.end('sidecar');
    this.#sink?.close();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener(this.isWanted);
  }

  #show(bytes: Uint8Array): void {
    const nowMs = performance.now();
    for (const text of Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8').split('\n')) {
      if (text === '') continue;
      const line = lineOf(text);
      for (const tap of this.#taps) tap.take(line, nowMs);
    }
  }
}

function lineOf(text: string): TappedLine {
  const { code, decision, direction }: { [field: string]: unknown } = JSON.parse(text);
  return { text, code, decision, direction };
}
