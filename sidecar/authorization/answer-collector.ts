import type { FlatHeaders } from '#policy/http/flat-headers.ts';
import type { BodyConsumer, OutgoingRequest, RequestHead, Upstream, UpstreamResponse } from '../http/message.ts';
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

/** Sends one message and collects the whole answer. `signal` ends the wait. Rejects with UpstreamFailure or MalformedAnswer. */
export async function exchangeOnce(
  upstream: Upstream,
  head: RequestHead,
  body: Buffer | null,
  signal: AbortSignal,
): Promise<WholeAnswer> {
  const collector = new AnswerCollector(head, body);
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
  readonly #settled = Promise.withResolvers<WholeAnswer>();
  readonly #chunks: Buffer[] = [];
  #size = 0;
  #response: UpstreamResponse | undefined;

  constructor(head: RequestHead, body: Buffer | null) {
    this.head = head;
    this.body = body;
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
