import type { IncomingMessage } from 'node:http';
import type { BodyConsumer, IncomingBody } from './message.ts';

/** Framing of a message, from its raw headers: building node's header object costs more than the rest of the codec. */
function framingOf(rawHeaders: readonly string[]): {
  readonly isPresent: boolean;
  readonly declaredLength: number | undefined;
} {
  let declaredLength: number | undefined;
  let isChunked = false;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? '';
    if (name.length === 14 && name.toLowerCase() === 'content-length') declaredLength = Number(rawHeaders[index + 1]);
    else if (name.length === 17 && name.toLowerCase() === 'transfer-encoding') isChunked = true;
  }
  return { isPresent: isChunked || (declaredLength ?? 0) > 0, declaredLength };
}

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
    const { isPresent, declaredLength } = framingOf(message.rawHeaders);
    this.isPresent = isPresent;
    this.declaredLength = declaredLength;
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
