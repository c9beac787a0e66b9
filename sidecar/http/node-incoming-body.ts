import type { IncomingMessage } from 'node:http';
import type { BodyConsumer, IncomingBody } from './message.ts';

/** The body of a node:http message (request or response) as an IncomingBody. */
export class NodeIncomingBody implements IncomingBody {
  readonly isPresent: boolean;
  readonly declaredLength: number | undefined;
  readonly #message: IncomingMessage;
  readonly #beforeStart: (() => void) | undefined;

  /** `beforeStart` sends the 100 (Continue) that the sender waits for. */
  constructor(message: IncomingMessage, beforeStart?: () => void) {
    this.#message = message;
    this.#beforeStart = beforeStart;
    const length = message.headers['content-length'];
    this.declaredLength = length === undefined ? undefined : Number(length);
    this.isPresent = message.headers['transfer-encoding'] !== undefined || (this.declaredLength ?? 0) > 0;
  }

  start(consumer: BodyConsumer): void {
    this.#beforeStart?.();
    const message = this.#message;
    let isOver = false;
    message.on('data', (chunk: Buffer) => consumer.onChunk(chunk));
    message.on('end', () => {
      isOver = true;
      consumer.onEnd(message.rawTrailers);
    });
    const fail = (error: Error) => {
      if (isOver) return;
      isOver = true;
      consumer.onError(error);
    };
    message.on('error', fail);
    message.on('close', () => fail(new Error('the connection ended before the body was complete')));
  }

  pause(): void {
    this.#message.pause();
  }

  resume(): void {
    this.#message.resume();
  }

  cancel(): void {
    this.#message.on('error', () => {});
    this.#message.resume();
  }
}
