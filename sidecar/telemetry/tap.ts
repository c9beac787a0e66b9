import type { Writable } from 'node:stream';
import type { TapRequest } from './tap-request.ts';

/** Lines a tap is given in a second; those beyond are skipped, and counted. */
export const MAX_TAP_LINES_A_SECOND = 1_000;
/** What may wait for a reader that is slow; lines beyond are skipped, and counted. */
export const MAX_WAITING_TAP_BYTES = 1024 * 1024;

/** What a tap looks at in a line of the access log. */
export interface TappedLine {
  readonly text: string;
  readonly code: unknown;
  readonly decision: unknown;
  readonly direction: unknown;
}

/** One who looks on: lines that match, until there were enough, the time is over, or the reader is gone. */
export class Tap {
  readonly #request: TapRequest;
  readonly #out: Writable;
  readonly #timer: NodeJS.Timeout;
  readonly #onEnd: (tap: Tap) => void;
  #shown = 0;
  #skipped = 0;
  #secondBegan = 0;
  #shownInSecond = 0;
  #hasEnded = false;

  /** Says at once that it has begun: from then on nothing that matches is missed, but what `tap_ended` counts. */
  constructor(request: TapRequest, out: Writable, onEnd: (tap: Tap) => void) {
    this.#request = request;
    this.#out = out;
    this.#onEnd = onEnd;
    this.#timer = setTimeout(() => this.end('time'), request.seconds * 1_000);
    this.#timer.unref();
    out.on('error', () => {}); // who goes away has seen enough
    out.on('close', () => this.end('reader'));
    out.write(`${JSON.stringify({ event: 'tap_began', seconds: request.seconds, limit: request.limit })}\n`);
  }

  take(line: TappedLine, nowMs: number): void {
    if (this.#hasEnded || !this.#wants(line)) return;
    if (nowMs - this.#secondBegan >= 1_000) {
      this.#secondBegan = nowMs;
      this.#shownInSecond = 0;
    }
    if (this.#shownInSecond >= MAX_TAP_LINES_A_SECOND || this.#out.writableLength > MAX_WAITING_TAP_BYTES) {
      this.#skipped++;
      return;
    }
    this.#shownInSecond++;
    this.#shown++;
    this.#out.write(`${line.text}\n`);
    if (this.#shown >= this.#request.limit) this.end('limit');
  }

  /** Its last line says why, and how many lines there were: a stream without it broke off. */
  end(reason: 'time' | 'limit' | 'reader' | 'sidecar'): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    clearTimeout(this.#timer);
    this.#onEnd(this);
    if (reason === 'reader') return;
    this.#out.end(`${JSON.stringify({ event: 'tap_ended', reason, shown: this.#shown, skipped: this.#skipped })}\n`);
  }

  #wants({ code, decision, direction }: TappedLine): boolean {
    const wanted = this.#request;
    return (
      (wanted.code === undefined || wanted.code === code) &&
      (wanted.decision === undefined || wanted.decision === decision) &&
      (wanted.direction === undefined || wanted.direction === direction)
    );
  }
}
