import type { FlatHeaders } from '#policy/http/flat-headers.ts';
import {
  type BodyConsumer,
  type OutgoingRequest,
  type RequestHead,
  type Upstream,
  UpstreamFailure,
  type UpstreamResponse,
} from '../http/message.ts';
import { MalformedAnswer } from './verdict.ts';

/** Bytes of a provider's answer; more is none. */
export const MAX_ANSWER_BYTES = 256 * 1024;

/** A provider's answer, whole. */
export interface WholeAnswer {
  readonly status: number;
  readonly headers: FlatHeaders;
  readonly body: Buffer;
  readonly trailers: FlatHeaders;
}

/** One message, as it is sent. */
export interface Message {
  readonly head: RequestHead;
  readonly body: Buffer | null;
}

/**
 * Sends one message and collects the whole answer. `signal` ends the wait. Where its connection is closed before a byte of an answer, as
 * one that was kept may be just then, it is sent once more: to ask twice does no harm. Rejects with UpstreamFailure or MalformedAnswer.
 */
export async function exchangeWhole(upstream: Upstream, message: Message, signal: AbortSignal): Promise<WholeAnswer> {
  try {
    return await exchangeOnce(upstream, new AnswerCollector(message, false), signal);
  } catch (error) {
    if (signal.aborted || !(error instanceof UpstreamFailure && error.kind === 'closed')) throw error;
    return exchangeOnce(upstream, new AnswerCollector(message, true), signal);
  }
}

async function exchangeOnce(upstream: Upstream, collector: AnswerCollector, signal: AbortSignal): Promise<WholeAnswer> {
  const flight = upstream.send(collector);
  const cancel = () => {
    const reason: unknown = signal.reason;
    const error = reason instanceof Error ? reason : new Error(String(reason));
    collector.fail(error);
    flight.cancel(error);
  };
  signal.addEventListener('abort', cancel, { once: true });
  try {
    if (signal.aborted) cancel();
    flight.response.catch((error: unknown) => collector.fail(error));
    return await collector.answer;
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}

class AnswerCollector implements OutgoingRequest, BodyConsumer {
  readonly head: RequestHead;
  readonly body: Buffer | null;
  readonly isUpgrade = false;
  readonly expectsContinue = false;
  readonly isRepeated: boolean;
  readonly #settled = Promise.withResolvers<WholeAnswer>();
  readonly #chunks: Buffer[] = [];
  #size = 0;
  #response: UpstreamResponse | undefined;

  constructor({ head, body }: Message, isRepeated: boolean) {
    this.head = head;
    this.body = body;
    this.isRepeated = isRepeated;
  }

  get answer(): Promise<WholeAnswer> {
    return this.#settled.promise;
  }

  fail(error: unknown): void {
    this.#settled.reject(error);
  }

  onResponse(response: UpstreamResponse): void {
    this.#response = response;
    response.body.start(this);
  }

  onChunk(chunk: Buffer): void {
    this.#size += chunk.length;
    if (this.#size <= MAX_ANSWER_BYTES) {
      this.#chunks.push(Buffer.from(chunk)); // the bytes are lent
      return;
    }
    this.#response?.body.cancel();
    this.fail(new MalformedAnswer(`the answer exceeds maxAnswerBytes ${MAX_ANSWER_BYTES}`));
  }

  onEnd(trailers: FlatHeaders): void {
    const { status = 0, headers = [] } = this.#response?.head ?? {};
    this.#settled.resolve({ status, headers, body: Buffer.concat(this.#chunks), trailers });
  }

  onError(error: Error): void {
    this.fail(new Error(`the answer broke off: ${error.message}`));
  }

  onInformation(): void {}
  onBodyProgress(): void {}
  onBodyBlocked(): void {}
  onBodyEnd(): void {}
}
